"""Language codes: a canonical code for each language, and its English name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}([-_]\w+)*")
UNDETERMINED = frozenset({"und", "mul", "mis", "zxx"})  # ISO 639-2: undetermined, several, not coded, no language

# Name, canonical code (ISO 639-1, or else 639-3), then the other codes of ISO 639-3 and 639-2.
_TABLE = """
Afrikaans af afr|Albanian sq sqi alb|Amharic am amh|Arabic ar ara|Armenian hy hye arm|Assamese as asm
Azerbaijani az aze|Basque eu eus baq|Belarusian be bel|Bengali bn ben|Bhojpuri bho|Bodo brx|Bosnian bs bos
Bulgarian bg bul|Burmese my mya bur|Catalan ca cat|Chhattisgarhi hne|Chinese zh zho chi cmn|Croatian hr hrv
Czech cs ces cze|Danish da dan|Dogri doi dgo|Dutch nl nld dut|English en eng|Estonian et est|Filipino fil
Finnish fi fin|French fr fra fre|Galician gl glg|Georgian ka kat geo|German de deu ger|Greek el ell gre
Gujarati gu guj|Hausa ha hau|Hebrew he heb iw|Hindi hi hin|Hungarian hu hun|Icelandic is isl ice
Indonesian id ind in|Irish ga gle|Italian it ita|Japanese ja jpn|Javanese jv jav|Kannada kn kan|Kashmiri ks kas
Kazakh kk kaz|Khmer km khm|Konkani kok gom knn|Korean ko kor|Lao lo lao|Latin la lat|Latvian lv lav
Lithuanian lt lit|Luxembourgish lb ltz|Macedonian mk mkd mac|Maithili mai|Malay ms msa may zsm|Malayalam ml mal
Maltese mt mlt|Manipuri mni|Marathi mr mar|Mongolian mn mon|Nepali ne nep npi|Norwegian no nor nb nob nn nno
Odia or ori ory|Persian fa fas per|Polish pl pol|Portuguese pt por|Punjabi pa pan|Romanian ro ron rum
Russian ru rus|Sanskrit sa san|Santali sat|Serbian sr srp|Sindhi sd snd|Sinhala si sin|Slovak sk slk slo
Slovenian sl slv|Somali so som|Spanish es spa|Swahili sw swa swh|Swedish sv swe|Tagalog tl tgl|Tamil ta tam
Tatar tt tat|Telugu te tel|Thai th tha|Turkish tr tur|Ukrainian uk ukr|Urdu ur urd|Uzbek uz uzb
Vietnamese vi vie|Welsh cy cym wel|Yoruba yo yor|Zulu zu zul
"""


@lru_cache(maxsize=1)
def _languages() -> dict[str, tuple[str, str]]:
    """Return the canonical code and the name of the language of each code."""
    rows = [row.split() for row in re.split(r"[|\n]", _TABLE.strip())]
    return {code: (codes[0], name) for name, *codes in rows for code in codes}


def language_code(tag: str) -> str:
    """Return the canonical code of a language tag, without region or script.

    Args:
        tag: Tag such as "hi", "hin", "hi-IN" or "de_DE". An unknown code is returned in lower case.

    Returns:
        The ISO 639-1 code if there is one, else the ISO 639-3 code; "" if the tag means an unknown language.
    """
    code = re.split("[-_]", tag.strip().lower())[0]
    return "" if code in UNDETERMINED else _languages().get(code, (code, ""))[0]


def language_name(code: str) -> str:
    """Return name and code, e.g. "Hindi (hi)", or the code alone if its name is not known."""
    _, name = _languages().get(code, (code, ""))
    return f"{name} ({code})" if name else code


def language_names(codes: Iterable[str]) -> str:
    """Return the names of several languages, separated by commas."""
    return ", ".join(map(language_name, codes))
