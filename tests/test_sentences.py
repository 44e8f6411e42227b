import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_distillation.sentences import paragraphs, split_document, split_paragraph

PROSE = "The bridge is old. It spans the river."


@pytest.mark.parametrize(
    "line",
    [
        "* apples and pears.",
        "*apples and pears.",
        "- apples and pears.",
        "• apples and pears.",
        "1. Peel the apples.",
        "2.1. Peel the pears.",
        "(3) Cut them up.",
        "a) Cook them for an hour.",
        ": an indented remark.",
        "== History ==",
        "=== Early years ===",
        "# Chapter one",
        "Early years",
        "CHAPTER XII",
        "See also:",
        "| name | height | since |",
        "| Everest || 8849 m.",
        "{| class='wikitable'",
        "|}",
        "! Year !! Name",
        "Everest\t8849 m\tNepal.",
        "name | height | since",
        "--------",
        "* * *",
    ],
)
def test_a_line_that_is_no_prose_is_dropped(line):
    assert paragraphs(f"{PROSE}\n{line}\n{PROSE}") == [PROSE, PROSE]


@pytest.mark.parametrize(
    "line",
    [
        "Hello!",
        '"Is it so very bad?"',
        "The *old* bridge fell down.",
        "*Old* and *new* bridges fell down.",
        "In 1998. the bridge fell down.",
        "The year was 1998.",
        "He counted them (all 12 of them).",
        "He looked out of the window and saw that the bridge was gone",
        "橋は古い。",
    ],
)
def test_a_line_of_prose_is_kept(line):
    assert paragraphs(f"{PROSE}\n{line}\n{PROSE}") == [PROSE, line, PROSE]


def test_a_sentence_broken_over_lines_is_joined():
    assert paragraphs("The bridge\nis old,\nGeorge says. It spans\nthe river.\nIt is long.") == [
        "The bridge is old, George says. It spans the river.",
        "It is long.",
    ]


def test_a_blank_line_or_a_list_ends_a_paragraph():
    assert paragraphs("The bridge is old and of stone and it has been there,\n\nthey say, for ages.") == [
        "The bridge is old and of stone and it has been there,",
        "they say, for ages.",
    ]


def test_text_without_capitals_keeps_its_lines():
    assert paragraphs("he went out .\nshe stayed at home and read a book about birds and bees\nit rained .") == [
        "he went out .",
        "she stayed at home and read a book about birds and bees",
        "it rained .",
    ]


def test_white_space_becomes_single_blanks():
    assert paragraphs("  The\xa0bridge \t is\u2003old.  ") == ["The bridge is old."]


@pytest.mark.parametrize(
    "sentences",
    [
        ["The bridge is old.", "It spans the river."],
        ["Is it old?", "Yes!", "It is."],
        ["Dr. Smith met Mr. Jones.", "They spoke."],
        ["It was Dr. Smith.", "Mrs. Jones saw him."],
        ["J. K. Rowling wrote it.", "I read it."],
        ["The U.S. Army came."],
        ["They left the U.S.", "The war was over."],
        ["Apples, pears etc. were sold at 5 p.m. on Monday.", "He bought some."],
        ["He lives at No. 5 in the street.", "She said no.", "He left."],
        ["It costs 3.50 euros.", "That is cheap."],
        ['"Come in."', '"Thank you."', "He came in."],
        ['"Hello!" he said.', "She smiled."],
        ["He waited ... and left.", "She stayed..."],
        ["It rained (a lot).", "(The sun came out later.)", "Then it snowed."],
        ["See fig. 3 and vol. 2 of it, e.g. The Times.", "Good."],
        ["橋は古い。", "川を渡る。"],
        ["No end here"],
    ],
)
def test_a_paragraph_is_split_at_the_ends_of_its_sentences(sentences):
    separator = "" if sentences[0].endswith("。") else " "
    assert split_paragraph(separator.join(sentences)) == sentences


def test_a_document_is_split_paragraph_by_paragraph():
    assert split_document(
        f"Bridges\n{PROSE}\n* one\nMany people cross it every day of the year without a thought\nOk."
    ) == [
        "The bridge is old.",
        "It spans the river.",
        "Many people cross it every day of the year without a thought",
        "Ok.",
    ]


@given(st.text())
def test_any_text_splits_without_losing_a_character_of_its_paragraphs(text):
    for paragraph in paragraphs(text):
        sentences = split_paragraph(paragraph)
        assert "".join(sentences).replace(" ", "") == paragraph.replace(" ", "")
        assert all(sentence and sentence == " ".join(sentence.split()) for sentence in sentences)


@pytest.mark.parametrize(
    "unit", [".", ". ", '."', "* ", "*", "=", "=x", "|", "- ", "A. ", "a.", "e.g. ", "。", "\t", "(("]
)
def test_time_is_linear_in_the_length_of_hostile_text(unit):
    start = time.process_time()
    split_document("The end " + unit * (300_000 // len(unit)) + "x")
    split_document(unit * (300_000 // len(unit)) + "x")
    assert time.process_time() - start < 2
