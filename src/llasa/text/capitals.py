"""Words in capitals for a model that has not seen any: letters, a word, or just loud."""

from __future__ import annotations

import re

LETTERS = {
    **{"A": "ay", "B": "bee", "C": "see", "D": "dee", "E": "ee", "F": "eff", "G": "gee"},
    **{"H": "aitch", "I": "eye", "J": "jay", "K": "kay", "L": "ell", "M": "em", "N": "en"},
    **{"O": "oh", "P": "pee", "Q": "cue", "R": "are", "S": "ess", "T": "tee", "U": "you"},
    **{"V": "vee", "W": "double you", "X": "ex", "Y": "why", "Z": "zee"},
}
"""Names of the letters, written as a reader would say them."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SPELLED = _words(
    """
    AAA ABC ABS AI AM AMD API APR ATM AWS BA BBC BC BCE BMI BMW BBQ CBS CCTV CD CE CEO
    CFO CIA CNN COO CPR CPU CSS CSV CTO DC DHL DIY DJ DNA DNS DVD EKG ESPN ESL EU EV FAQ FBI
    FDA FM FTP FYI GDP GDPR GMT GPA GPS GPT GPU HBO HD HDMI HIV HP HR HTML HTTP HTTPS IBM ID
    IEEE IMF IP IPO IQ IRS ISBN ISO ISP IT ITV IV JFK KFC LA LCD LED LGBT LLC LLM MA MBA MBC
    MC MD MIT ML MP MRI MTV MVP NBA NBC NFL NGO NHL NHS NYC NYPD OCD PBS PC PDF PE PHP
    PM PPE PR PS PTA PTSD QR RNA RSS RSVP RV SDK SEO SMS SOS SPF SQL SSD SSL SSN SUV TB TLC
    TV UCLA UFO UI UK UN UPS URL US USA USB USSR UTC UV UX VAT VIP VPN VR VW WWW XML
    YMCA
    """
)
"""Said letter by letter, although some could be read as words."""
_SAID = {
    **{"NASA": "Nasa", "JPEG": "jay peg", "JSON": "jason", "ASCII": "askey", "GIF": "gif"},
    **{"COVID": "covid", "YAML": "yammel", "IKEA": "ikeea", "UNESCO": "Unesko", "FIFA": "feefa"},
    **{"SQL": "sequel", "PHD": "pee aitch dee", "MHZ": "megahertz", "IEEE": "eye triple ee"},
}
"""Said as words that are not read as they are written."""
_SHORT = _words(
    """
    ADD AGE AGO AH AIR ALL AN AND ANY ARE ARM ART AS ASK AT ATE BAD BAG BAR BE BED BEE BET
    BIG BIT BOX BOY BUS BUT BUY BY CAN CAR CAT COW CRY CUP CUT DAD DAY DID DIE DIG DO DOG
    DRY DUE EAR EAT EGG END EYE FAN FAR FAT FEE FEW FIT FIX FLY FOR FOX FUN GAS GET GO GOD
    GOT GUN GUY HA HAD HAS HAT HE HER HEY HI HIM HIS HIT HOT HOW HUG ICE IF ILL IN INK IS
    ITS JAM JOB JOY KEY KID LAW LAY LEG LET LIE LOT LOW MAD MAN MAP MAX MAY ME MEN MIX MOM
    MUD MY NET NEW NO NOD NOR NOT NOW NUT OF OFF OH OIL OLD ON ONE OR OUR OUT OWE OWN PAN
    PAY PEN PET PIE PIN POP POT PUT RAN RAW RED RID RUN SAD SAT SAW SAY SEA SEE SET SHE SHY
    SIM SIN SIR SIT SIX SKY SO SON SUN TAX TEA TEN THE TIE TIP TO TOE TOO TOP TOY TRY TWO UP
    USE VAN WAR WAS WAY WE WET WHO WHY WIN WON YES YET YOU ZIP ZOO ZOOM RAM ROM
    """
)
"""Words of two and three letters; others in capitals are spelled."""
_CLUSTERS = re.compile(
    r"GHT|STR|SCR|SPR|SPL|SHR|THR|TCH|NGS|NGTH|NDS|NTS|CKS|RST|NST|NCH|RTH|NTH|SCH"
)
"""Crowds of consonants that words have."""
_CROWD = re.compile(r"[BCDFGHJKLMNPQRSTVWXZ]{3,}")
_VOWEL = re.compile(r"[AEIOUY]")
_CAPITALS = re.compile(
    r"(?<![^\W_])(?:(?:PhD|[A-Z]+'[A-Z]{1,2}\b|[A-Z]{2,}(?![a-rt-z]))(?:'?s\b)?|(?<!')[A-Z](?![\w']))"
)
_SINGLE = re.compile(r"(?<![\w'’])[b-hj-z](?![\w'’])")


_NAMED = re.compile(r"(?i)\b(?:plan|grade|vitamin|type|class|group|option|section|level|team)\s$")
"""What is told apart by letters."""


def lowered(text: str) -> str:
    """Words in capitals as small letters, as names of letters where they are spelled.

    In a text that is all loud only known acronyms are spelled; elsewhere also short ones that are
    no word, and those that nobody could pronounce. Single letters get their names.
    """
    loud = _is_loud(text)
    text = _CAPITALS.sub(lambda match: _said(match, loud), text)
    return _SINGLE.sub(lambda match: LETTERS[match[0].upper()], text)


def _is_loud(text: str) -> bool:
    words = re.findall(r"[A-Za-z]{2,}", text)
    loud = [word for word in words if word.isupper() and word not in _SPELLED]
    return len(loud) > 1 and 2 * len(loud) > len([w for w in words if w not in _SPELLED])


def _said(match: re.Match[str], loud: bool) -> str:
    word = match[0]
    plural = "s" if word.endswith("s") else ""
    core = word.rstrip("s").rstrip("'").upper()
    if len(core) == 1:
        return _letter(match, core)
    if core in _SAID:
        return _SAID[core] + ("'s" if plural else "")
    if core in _SPELLED and not (loud and core in _SHORT_AND_SPELLED):
        return _spelled(core, plural)
    if loud or "'" in core or core in _SHORT or not _is_letters(core):
        small = core.lower() + ("'s" if plural else "")
        return small.replace("i'", "I'") if small.startswith("i'") else small
    return _spelled(core, plural)


_SHORT_AND_SPELLED = _words("AM IT US LA MA PA HR ID PE PS IV LED")
"""Words as well: in a loud text they are."""


def _letter(match: re.Match[str], letter: str) -> str:
    """The name of a single letter; not of the words A and I."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    if letter == "I":
        return match[0]
    article = not before.strip() or (re.match(r"\s+\w", after) and not _NAMED.search(before))
    if letter == "A" and article:
        return match[0]
    return LETTERS[letter]


def _is_letters(word: str) -> bool:
    """Whether a word in capitals that is in no list is spelled."""
    if len(word) <= 3 or not _VOWEL.search(word):
        return True
    return len(word) <= 5 and _CROWD.search(_CLUSTERS.sub("", word)) is not None


def _spelled(word: str, plural: str) -> str:
    names = " ".join(LETTERS[letter] for letter in word)
    return names if not plural else names + ("es" if names.endswith("s") else "s")
