"""The words of instructions: their classes, and what each verb takes.

A frame is what may follow a verb (its subcategorisation, Jurafsky & Martin, "Speech and Language Processing", 2nd ed.,
ch. 12): words as they are, and slots in capitals. OBJ: an object or "it"; GRIPPER: "the gripper"; PLACE: "in the bowl";
ARM: "the other arm"; TO_ARM: "to the other arm", "from left to right"; SAME: nothing, the object of before is meant;
NEXT: nothing, the object of the verb after "and" is meant, as it may be for an OBJ at the end of a frame.
"""

from enum import IntEnum

from so_arm_policy.core.objects import COLORS, KINDS


class Sense(IntEnum):
    """What a verb does with its object. Of one object, the parts of a deed can only be told in this order."""

    REACH = 0
    TRACK = 1
    TAKE = 2
    HAND_OVER = 3
    PUT = 4


PLACES = ("bowl", "plate")
ARTICLES = frozenset({"the", "a", "an"})
PLACE_PREPOSITIONS = ("in", "into", "on", "onto", "to")
# Objects are handed from the left arm to the right one, never back.
GIVER = ("left",)
RECEIVERS = ("other", "right")
# A step that follows the word is done before (EARLY) or after (LATE) the other one.
EARLY = ("first", "after")
LATE = ("then", "before")
SUBORDINATORS = ("before", "after")
FILLERS = frozenset({"please"})

_PUT = {"OBJ PLACE": Sense.PUT}
_GIVE = dict.fromkeys(
    ("OBJ TO_ARM", "OBJ over", "OBJ over TO_ARM", "over OBJ", "over OBJ TO_ARM", "ARM OBJ"), Sense.HAND_OVER
)
_CARRY = {"GRIPPER to OBJ": Sense.REACH, "OBJ PLACE": Sense.PUT, "OBJ TO_ARM": Sense.HAND_OVER}
_STAY = dict.fromkeys(("with OBJ", "close to OBJ", "close SAME"), Sense.TRACK)
# "pick up the red cube in the bowl" and "touch the red cube in the bowl" say where the cube is, not where it goes: TAKE
# and REACH have no PLACE. "block" is no word: it may be a cube and a brick.
FRAMES: dict[str, dict[str, Sense]] = {
    "touch": {"OBJ": Sense.REACH},
    "reach": {"OBJ": Sense.REACH, "for OBJ": Sense.REACH},
    "go": {"to OBJ": Sense.REACH, "NEXT": Sense.REACH},
    "move": {"to OBJ": Sense.REACH, **_CARRY},
    "bring": _CARRY,
    "follow": {"OBJ": Sense.TRACK},
    "track": {"OBJ": Sense.TRACK},
    "stay": _STAY,
    "keep": {
        **_STAY,
        **dict.fromkeys(("following OBJ", "tracking OBJ", "GRIPPER close to OBJ", "GRIPPER with OBJ"), Sense.TRACK),
    },
    "take": {"OBJ": Sense.TAKE, "OBJ TO_ARM": Sense.HAND_OVER},
    "grab": {"OBJ": Sense.TAKE},
    "pick": {"OBJ": Sense.TAKE, "up OBJ": Sense.TAKE, "OBJ up": Sense.TAKE},
    "hand": _GIVE,
    "pass": _GIVE,
    "give": _GIVE,
    "put": _PUT,
    "place": _PUT,
    "set": _PUT,
    "lay": _PUT,
    "drop": _PUT,
}
_OTHERS = ("and", "you", "it", "as", "moves", "gripper", "arm", "from")
WORDS = frozenset(
    (
        *COLORS,
        *KINDS,
        *PLACES,
        *ARTICLES,
        *PLACE_PREPOSITIONS,
        *GIVER,
        *RECEIVERS,
        *EARLY,
        *LATE,
        *FILLERS,
        *FRAMES,
        *(word for frames in FRAMES.values() for frame in frames for word in frame.split() if word.islower()),
        *_OTHERS,
    )
)
