"""Demonstrations of two tasks, and a training of two steps on them: small, but every part is the real one."""

from so_arm_policy.cli import main
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.demonstrations.collect import CollectConfig, training_task
from so_arm_policy.learn.demonstrations.labelled import Demonstrations, open_source
from so_arm_policy.learn.families.act import ActConfig
from so_arm_policy.learn.families.autoregressive import AutoregressiveConfig
from so_arm_policy.learn.families.diffusion import DiffusionConfig
from so_arm_policy.learn.families.flow import FlowConfig
from so_arm_policy.learn.lessons.asking import Words
from so_arm_policy.learn.lessons.lessons import TaskLessons
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.learn.train import TrainConfig
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of
from so_arm_policy.robot.description import load_robot

COLLECT = [CollectConfig(task=name, episodes=5, shard=5, picture_every=12) for name in ("reach", "pick_place")]

# The same sizes for `so-arm imitate`.
SMALL = ["scene.steps=2", "scene.warmup=1", "action.warmup=1", "scene_batch=2", "action_batch=8", "encoder.width=32"]
SMALL += ["encoder.vision_layers=1", "encoder.fusion_layers=1", "expert.width=32", "expert.context_width=32"]
SMALL += ["expert.layers=1", "expert.heads=2"]

EXPERTS = {
    "act": ActConfig(context_width=32, width=32, heads=2, layers=1),
    "flow": FlowConfig(context_width=32, width=32, heads=2, layers=1),
    "diffusion": DiffusionConfig(context_width=32, width=32, heads=2, layers=1),
    "autoregressive": AutoregressiveConfig(context_width=32, width=32, heads=2, layers=1),
}


def opened(folder):
    robot = load_robot("so101")
    sources = [(training_task(c.task), read_dataset(folder / c.task, robot)) for c in COLLECT]
    return Demonstrations([open_source(task, dataset, (96, 128)) for task, dataset in sources])


def training(run, family, data, **action):
    return Training(
        lessons=TaskLessons(data, tuple(training_task(config.task) for config in COLLECT)),
        name="two",
        robot=load_robot("so101"),
        config=TrainConfig(
            scene=LoopConfig(steps=2, warmup=1),
            action=LoopConfig(**{"steps": 2, "warmup": 1, **action}),
            scene_batch=2,
            action_batch=8,
            encoder=SceneEncoderConfig(width=32, vision_layers=1, fusion_layers=1),
            expert=EXPERTS[family],
        ),
        run=run,
        origin={"note": "two steps"},
        jobs=1,
        watch_episodes=1,
    )


def words_for(tasks, folder):
    """Words of the tasks, by a tokenizer trained in `folder`."""
    corpus = [text for task in tasks for text in task.corpus()]
    train_tokenizer(corpus, folder / "words.json")
    return Words(Tokenizer(folder / "words.json", words_of(corpus), 18))


def imitate(folders, out, *more):
    """Train two steps on datasets by the command; return its exit code."""
    sets = [word for each in SMALL for word in ("--set", each)]
    return main(["imitate", *map(str, folders), "--task", "mine", "--out", str(out), "--steps", "2", *sets, *more])
