"""From raw text to sentences: lists, tables and headings dropped, paragraphs joined up and split at sentence ends."""

# ruff: noqa: RUF001  (quotation marks and full stops of many scripts are the subject here)

import re

# What opens a line that is no prose: list bullets, numbered items, headings, rows of tables, rules.
STRUCTURE = re.compile(
    r"""
      [*+·–-]++ \s | [•‣◦▪●\#] | \*++ (?! .* \*)  # a bullet, a markdown heading; not *emphasis*
    | \(? (\d{1,3} | [a-zA-Z]) \) \s  # 1) or (a)
    | \d{1,3} (\.\d+)* \. \s        # 1. or 2.3.
    | [:;]+                         # wiki indentation and definitions
    | = .* = $                        # == wiki heading ==
    | [|!] | \{\| | \|\}            # a row, the start or the end of a table
    | [^|]* \| [^|]* \| | [^\t]* \t [^\t]* \t  # columns
    | [-=_*~+.\s]++ $               # a rule
    """,
    re.VERBOSE,
)
CLOSING = "\"'”’»)\\]`」』）"
AFTER_MARK = CLOSING.replace("\\", "") + " "
OPENING = "\"'“‘«(\\[`"  # inside brackets of an expression, hence the backslash
END_MARKS = tuple(".!?…。！？।")
GOES_ON = (",", ";", "—", "-")
HEADING_WORDS = 10  # a line of fewer words that ends no sentence is a heading or an item of a list

# A place where a sentence may end: the mark, and what begins after the space. Nothing is tried twice (`++`, and no
# start inside a run of marks), so that a long run of dots takes no longer than other text. The mark's set comes first
# because the engine then skips to the next mark instead of trying every character.
BOUNDARY = re.compile(
    rf"[.!?…。！？](?:"
    rf"(?<=[.!?…])(?<![.!?…].)(?P<more>[.!?…]*+)[{CLOSING}]*+\s++(?=[{OPENING}]*(?P<next>[^\s{OPENING}]++))"
    rf"|(?<=[。！？])(?P<wide>[{CLOSING}]*+)(?=[^\s{CLOSING}]))"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Before a full stop, these never end a sentence.
ABBREVIATIONS = _words(
    "mr mrs ms messrs mme mlle dr prof st ste gen col capt cpt cmdr lt sgt maj adm brig rev fr hon sen rep gov pres "
    "supt vs v e.g i.e cf viz ca approx al fig figs vol vols pp ch sec art op ed eds trans incl esp mt ft "
    "jan feb mar apr jun jul aug sept sep oct nov dec"
)
# These end one only where the next word usually begins one.
AMBIGUOUS = _words("etc inc ltd co corp bros jr sr esq a.m p.m b.c a.d ph.d m.d u.s u.k u.n d.c e.u")
DOTTED = re.compile(r"(\w\.)+\w")  # U.S, J.R.R
BEFORE_NUMBER = _words("no nos p")
STARTERS = _words(
    "the a an this that these those it its he she they we i you his her their our my there here in on at by for from "
    "with as after before when while where if although though however but and or so then since during one some many "
    "most both each what who why how no not"
)


def split_document(text: str) -> list[str]:
    """The sentences of a document, in order."""
    return [sentence for paragraph in paragraphs(text) for sentence in split_paragraph(paragraph)]


def paragraphs(text: str) -> list[str]:
    """The prose of a document, one paragraph a string, white space made single blanks.

    A line is a paragraph; one broken in mid-sentence is joined with the line that goes on in lower case. Text without
    any capital (BookCorpus) does not show where that is, so its lines stay as they are.
    """
    joined: list[list[str]] = []  # the lines of each paragraph
    has_capitals = not text.islower()
    open_line = False  # whether the last line of `joined` may go on
    for raw_line in text.splitlines():
        line = raw_line.strip()
        if not line or STRUCTURE.match(line):
            open_line = False
            continue
        line = " ".join(line.split())
        if open_line and (line[0].islower() or joined[-1][-1].endswith(GOES_ON)):
            joined[-1].append(line)
        else:
            joined.append([line])
        open_line = has_capitals and not _has_end(line)
    return [paragraph for paragraph in map(" ".join, joined) if _is_prose(paragraph)]


def split_paragraph(paragraph: str) -> list[str]:
    """The sentences of one paragraph of prose."""
    sentences, start = [], 0
    for match in BOUNDARY.finditer(paragraph):
        if match["wide"] is not None or _ends_sentence(paragraph, start, match):
            sentences.append(paragraph[start : match.end()].rstrip())
            start = match.end()
    if start < len(paragraph):
        sentences.append(paragraph[start:])
    return sentences


def _has_end(line: str) -> bool:
    """Whether the line, whose white space is blanks, ends a sentence."""
    return line.rstrip(AFTER_MARK).endswith(END_MARKS)


def _is_prose(line: str) -> bool:
    """Whether the line ends a sentence or is at least as long as one."""
    return _has_end(line) or line.count(" ") + 1 >= HEADING_WORDS


def _ends_sentence(paragraph: str, start: int, match: re.Match[str]) -> bool:
    """Whether the sentence that begins at `start` ends with the boundary."""
    next_word = match["next"]
    if next_word[0].islower():
        return False
    if paragraph[match.start()] != "." or match["more"]:
        return True
    word_start = max(start, paragraph.rfind(" ", start, match.start()) + 1)
    word = paragraph[word_start : match.start()].lstrip(OPENING)
    lowered = word.lower()
    if lowered in ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I"):
        return False
    if lowered in BEFORE_NUMBER:
        return not next_word[0].isdigit()
    if lowered in AMBIGUOUS or DOTTED.fullmatch(word):
        return next_word.strip(".,;:!?").lower() in STARTERS
    return True
