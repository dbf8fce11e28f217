"""Simulated servos on a pseudo-terminal, without physics: a joint is where its servo wants it, one tick later."""

from so_arm_policy.robot.description import load_robot
from so_arm_policy.robot.feetech.arm import ArmPort
from so_arm_policy.robot.feetech.calibration import load_calibration
from so_arm_policy.robot.feetech.driver import DriverSettings, FeetechDriver
from so_arm_policy.sim.servo_bus.arms import sim_servos
from so_arm_policy.sim.servo_bus.bus import SimBus
from so_arm_policy.sim.servo_bus.wire import Wire

TICK_NS = 8_333_333
PATIENT_S = 2.0  # nothing is lost because a test machine is busy
HASTY_S = 0.02


class ServoWorld:
    """One arm and its bus; `tick` moves it and lets the driver have a step."""

    def __init__(self, folder, robot=None, arm=0, *, calibrated=True):
        self.robot = robot or load_robot("so101")
        self.servos = sim_servos(self.robot, arm, calibrated=calibrated)
        self.bus = SimBus(self.servos)
        self.wire = Wire(self.bus, folder / f"servo_bus{arm}", paced=False)
        self.calibration = load_calibration("simulated", self.robot, arm)
        self.q = [joint.home for joint in self.calibration.joints]
        self.now_ns = 0
        self.settle()
        self.wire.start()

    @property
    def port(self):
        return ArmPort(device=self.wire.device, calibration=self.calibration)

    def drive(self, *, follows=True, patience_s=PATIENT_S, **settings):
        chosen = DriverSettings(patience_s=patience_s, **settings)
        self.driver = FeetechDriver(self.robot, [self.port], chosen, follows=follows)
        return self.driver

    def settle(self):
        with self.bus.lock:
            for i, servo in enumerate(self.servos):
                if servo.torque_share > 0.0:
                    self.q[i] = servo.goal_q
                servo.sense(self.q[i], 0.0, 0.0, TICK_NS / 1e9)

    def tick(self, command=None, times=1):
        for _ in range(times):
            self.settle()
            self.now_ns += TICK_NS
            reading = self.driver.step(command, self.now_ns)
        return reading

    def codes(self):
        return {fault.code for fault in self.driver.faults}

    def close(self):
        if hasattr(self, "driver"):
            self.driver.close()
        self.wire.stop()
