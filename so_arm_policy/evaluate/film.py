"""A run as a moving picture, drawn after it from the simulator's recorded states."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.values import Image
from so_arm_policy.evaluate.recording import Outcome, Recording
from so_arm_policy.sim.renderer import SceneRenderer

WIDTH, HEIGHT = 400, 300
INSET_WIDTH, INSET_HEIGHT = 112, 84
FPS = 10
PALETTE_COLORS = 200
PALETTE_FRAMES = 12
BAR = 26
INK = (255, 255, 255)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_film(recording: Recording, path: Path, start_s: float = 0.0, end_s: float = float("inf")) -> None:
    """Write the part of the run as a GIF in real time. Raises InputError without states, DeviceError without OpenGL."""
    times = np.arange(start_s, min(end_s, recording.duration_s), 1.0 / FPS)
    if not len(recording.states) or not len(times):
        raise InputError("film: got no simulator states, expected some to draw")
    palette = _palette(list(_frames(recording, times[:: max(1, len(times) // PALETTE_FRAMES)])))
    frames = [frame.quantize(palette=palette, dither=Pillow.Dither.NONE) for frame in _frames(recording, times)]
    # One palette and no dithering: what stands still stays equal, and only what moves is stored.
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0)


def _frames(recording: Recording, times: np.ndarray) -> Iterator[Pillow.Image]:
    """Yield the main camera's view at each time, the others inset, with what the robot was told below."""
    large = SceneRenderer(recording.robot, width=WIDTH, height=HEIGHT)
    small = SceneRenderer(recording.robot, width=INSET_WIDTH, height=INSET_HEIGHT)
    main, *others = recording.robot.camera_names
    font = ImageFont.load_default(15)
    try:
        for time_s in times:
            qpos = recording.states.before(time_s)
            qpos = recording.states.values[0] if qpos is None else qpos
            scene = recording.scene_at(time_s)
            picture = Pillow.new("RGB", (WIDTH, HEIGHT + BAR), (24, 27, 31))
            picture.paste(Pillow.fromarray(large.render(scene, qpos, main)), (0, 0))
            for i, camera in enumerate(others):
                inset = Pillow.fromarray(small.render(scene, qpos, camera))
                x, y = WIDTH - 4 - (i + 1) * (INSET_WIDTH + 4), HEIGHT - 6 - INSET_HEIGHT
                picture.paste((240, 240, 240), (x - 1, y - 1, x + INSET_WIDTH + 1, y + INSET_HEIGHT + 1))
                picture.paste(inset, (x, y))
            _caption(ImageDraw.Draw(picture), recording, time_s, font)
            yield picture
    finally:
        large.close()
        small.close()


def _caption(draw: ImageDraw.ImageDraw, recording: Recording, time_s: float, font: Font) -> None:
    y = HEIGHT + 5
    current = next((t for t in recording.tries if t.start_s <= time_s < t.end_s), None)
    done = sum(t.outcome is Outcome.DONE and t.end_s <= time_s for t in recording.tries)
    tried = sum(t.outcome is not Outcome.LATE and t.end_s <= time_s for t in recording.tries)
    score = f"done {done} / {tried}    {time_s:4.1f} s"
    if current is not None:
        text = f"“{current.instruction}”"
        room = WIDTH - 24 - draw.textlength(score, font=font)
        if draw.textlength(text, font=font) <= room:
            draw.text((8, y), text, fill=INK, font=font)
        else:
            _two_lines(draw, text, room)
    draw.text((WIDTH - 8, y), score, fill=(190, 196, 204), font=font, anchor="ra")


def _two_lines(draw: ImageDraw.ImageDraw, text: str, room: float) -> None:
    """Write `text` small enough for two lines."""
    words = text.split()
    for size in range(11, 6, -1):
        font = ImageFont.load_default(size)
        fits = [n for n in range(1, len(words)) if draw.textlength(" ".join(words[:n]), font) <= room]
        split = max(fits, default=1)
        lines = [" ".join(words[:split]), " ".join(words[split:])]
        if draw.textlength(lines[1], font) <= room:
            break
    for i, line in enumerate(lines):
        draw.text((8, HEIGHT + 1 + 12 * i), line, fill=INK, font=font)


def _palette(frames: list[Pillow.Image]) -> Pillow.Image:
    """Return one palette for all of `frames`. Rare colours count for more than their area: cubes are small."""
    pixels: Image = np.concatenate([np.asarray(frame)[::2, ::2].reshape(-1, 3) for frame in frames])
    colors, counts = np.unique(pixels & 0xFC, axis=0, return_counts=True)
    sheet = np.repeat(colors, np.ceil(np.sqrt(counts)).astype(np.int64), axis=0)
    return Pillow.fromarray(sheet[None]).quantize(PALETTE_COLORS, method=Pillow.Quantize.MEDIANCUT)
