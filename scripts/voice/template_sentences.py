"""Sentences of our own, for what old novels lack: numbers, dates, names, questions, short answers, dialogue."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from num2words import num2words

from pipeline.text.normalization.english import normalize

_WORDS = {
    "name": "Anna,Ben,Clara,David,Emma,Frank,Grace,Henry,Iris,Jack,Kate,Leo,Maria,Noah,Olivia,Peter,Rose,Samuel,Tessa,"
    "Victor,Alice,Brian,Carmen,Daniel,Elena,George,Hannah,Isaac,Julia,Kevin,Laura,Michael,Nina,Oscar,Paula,Robert,"
    "Sarah,Thomas",
    "place": "London,Paris,Berlin,Chicago,Boston,Rome,Madrid,Vienna,Dublin,Oslo,Tokyo,Sydney,Cairo,Lisbon,Denver,"
    "Seattle,Austin,Prague,Geneva,Toronto,Nairobi,Delhi,Dallas,Houston,Phoenix,Portland,Athens,Venice,Glasgow,Bristol",
    "thing": "apple,book,camera,chair,clock,coat,computer,door,engine,flower,garden,glass,guitar,hammer,house,kettle,"
    "key,lamp,letter,map,mirror,newspaper,orange,painting,paper,phone,piano,picture,pillow,plate,radio,river,road,"
    "school,shirt,shoe,spoon,station,table,telephone,ticket,tower,train,tree,umbrella,violin,window,bridge,bicycle",
    "quality": "big,small,old,new,red,green,blue,yellow,heavy,light,quiet,loud,bright,dark,cheap,strange,useful,broken,"
    "wooden,golden,narrow,wide,warm,cold,empty,early,late,simple,difficult,beautiful,ordinary,dangerous,comfortable",
    "action": "bought,sold,found,lost,painted,carried,dropped,opened,closed,described,repaired,borrowed,forgot,"
    "remembered,noticed,photographed,hid,showed,sent,received,chose,wanted,needed,liked,examined,cleaned,moved,touched",
    "day": "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday",
    "month": "January,February,March,April,May,June,July,August,September,October,November,December",
}
_NUMBERS = {  # smallest, largest, form
    "year": (1700, 2029, "year"),
    "ordinal": (1, 31, "ordinal"),
    "hour": (1, 12, "cardinal"),
    "minute": (10, 59, "cardinal"),
    "digit": (0, 9, "cardinal"),
    "small": (2, 99, "cardinal"),
    "large": (100, 9999, "cardinal"),
}
_FRAMES = (
    "{name} {action} the {quality} {thing} in {place}.",
    "Where is the {quality} {thing}?",
    "Did {name} really say that the {thing} was {quality}?",
    "“The {thing} is {quality},” said {name}. “Why do you ask?”",
    "On {day}, the {ordinal} of {month}, {name} {action} {small} {thing}s.",
    "It was the year {year}, and {place} was {quality} and {quality}.",
    "The train to {place} leaves at {hour} {minute}, from platform {hour}.",
    "{name} and {name} live at number {small}, {name} Street.",
    "That will be {large} dollars and {minute} cents, please.",
    "What a {quality} {thing}! Who {action} it?",
    "There were {large} people in {place}, but only {small} of them knew {name}.",
    "Call {digit}, {digit}, {digit}, {digit}, {digit}, {digit}, and ask for {name}.",
    "Yes, the {quality} one.",
    "No! Not the {thing}, {name}, the {thing}.",
    "First the {thing}, then the {thing}, and last of all the {quality} {thing}.",
    "About {small} percent of the {thing}s in {place} are {quality}.",
    "“Is it far from {place} to {place}?” asked {name}.",
    "“I think so,” he answered; “about {small} miles.”",
    "Chapter {hour}: the {quality} {thing}.",
    "{name} {action} it because it was {quality}, and because {name} did not want the {thing}.",
)
_SLOT = re.compile(r"\{(\w+)\}")


def own_sentences(chance: random.Random) -> Iterator[str]:
    """Endless sentences in spoken form."""
    choices = {slot: words.split(",") for slot, words in _WORDS.items()}

    def fill(match: re.Match[str]) -> str:
        if match[1] in choices:
            return chance.choice(choices[match[1]])
        smallest, largest, form = _NUMBERS[match[1]]
        return str(num2words(chance.randint(smallest, largest), to=form))

    while True:
        yield normalize(_SLOT.sub(fill, chance.choice(_FRAMES)))
