from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_distillation import blocks, word_pieces
from bert_distillation.blocks import Block, BlockMaker, Recipe, hold_out, make_blocks, text_hash
from bert_distillation.hub import bert_tokenizer
from bert_distillation.word_pieces import Encoder
from small_corpus import documents, small_recipe, write_vocabulary

TEXTS = documents(300)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return small_recipe(tmp_path_factory.mktemp("vocabulary"), TEXTS)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return bert_tokenizer(write_vocabulary(tmp_path_factory.mktemp("vocabulary"), TEXTS) / "vocab.txt")


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@given(st.lists(st.text(), max_size=5))
def test_looking_words_up_equals_tokenizing_the_sentence(tokenizer, texts):
    sentences = [" ".join(text.split()) for text in texts]
    encoder = Encoder(tokenizer.backend_tokenizer.to_str(), len(tokenizer))
    assert encoder.separator
    assert [list(ids) for ids in encoder.encode(sentences)] == [ids_of(tokenizer, s) for s in sentences]


@pytest.mark.parametrize(
    "text",
    ["a|b, c", "≯ 5", "boat™", "cafe\u0301", ",\u0301boat", "\u200b", "don't", "İstanbul", "橋,boat", "x" * 150 + "."],
)
def test_marks_and_scripts_are_no_exception(tokenizer, text):
    encoder = Encoder(tokenizer.backend_tokenizer.to_str(), len(tokenizer))
    assert list(encoder.encode([text])[0]) == ids_of(tokenizer, text)


def test_looking_words_up_equals_tokenizing_real_text(shared_data):
    tokenizer = bert_tokenizer(shared_data / "vocab" / "vocab.txt")
    lines = (shared_data / "corpus" / "tiny.txt").read_text(encoding="utf-8").splitlines()
    lines = [" ".join(line.split()) for line in lines]
    encoder = Encoder(tokenizer.backend_tokenizer.to_str(), len(tokenizer))
    assert [list(ids) for ids in encoder.encode(lines)] == tokenizer(lines, add_special_tokens=False)["input_ids"]


def test_a_tokenizer_that_sees_beyond_a_blank_gets_whole_sentences(tokenizer):
    other = bert_tokenizer_with(tokenizer, "the boat")
    encoder = Encoder(other.backend_tokenizer.to_str(), len(other))
    assert not encoder.separator
    (ids,) = encoder.encode(["anna painted the boat."])
    assert list(ids) == ids_of(other, "anna painted the boat.")
    assert len(other) - 1 in ids


def bert_tokenizer_with(tokenizer, token):
    other = type(tokenizer)(vocab=tokenizer.get_vocab(), do_lower_case=True)
    other.add_tokens([token])
    return other


def test_a_full_cache_is_emptied_and_nothing_changes(tokenizer, monkeypatch):
    monkeypatch.setattr(word_pieces, "CACHED_WORDS", 3)
    encoder = Encoder(tokenizer.backend_tokenizer.to_str(), len(tokenizer))
    for text in TEXTS[:20]:
        sentence = " ".join(text.split())
        assert list(encoder.encode([sentence])[0]) == ids_of(tokenizer, sentence)
        assert len(encoder.cache) <= 3 + len(sentence.split())


def test_the_name_of_a_special_token_in_a_text_is_text(recipe):
    made = BlockMaker(recipe).make(Block(False, 0, ["Anna met [SEP] and [MASK] at the [CLS].", "Bruno saw it."]))
    for ids in made.sequences.column("input_ids").to_pylist():
        assert (ids.count(recipe.cls_token_id), ids.count(recipe.sep_token_id)) == (1, 2)
        assert 4 not in ids  # [MASK]


def test_blocks_end_at_so_many_characters_or_documents(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_CHARACTERS", 1000)
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 7)
    made = list(make_blocks(TEXTS, 0.3))
    longest = max(map(len, TEXTS))
    assert all(sum(map(len, b.texts)) < 1000 + longest and len(b.texts) <= 7 for b in made)
    for held_out in (False, True):
        assert [b.index for b in made if b.held_out == held_out] == list(
            range(sum(b.held_out == held_out for b in made))
        )
    assert sorted(text for b in made for text in b.texts) == sorted(TEXTS)


def test_blocks_are_made_as_the_documents_come(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 10)
    read = []
    next(make_blocks((read.append(text) or text for text in TEXTS), 0))
    assert len(read) == 10


def test_the_documents_to_hold_out_depend_on_their_text_alone():
    held = {text for held_out, text in hold_out(TEXTS, 0.1) if held_out}
    assert held == {text for held_out, text in hold_out(reversed(TEXTS), 0.1) if held_out}
    assert held == {text for text in TEXTS if text_hash(text) < 0.1}
    assert held == {text for held_out, text in hold_out(TEXTS + TEXTS, 0.1) if held_out}


def test_about_the_share_asked_for_is_held_out():
    texts = [f"Document {i} is short." for i in range(20_000)]
    count = sum(held_out for held_out, _ in hold_out(texts, 0.01))
    assert abs(count - 200) < 4 * (20_000 * 0.01 * 0.99) ** 0.5


def test_in_a_small_corpus_the_document_with_the_smallest_hash_is_held_out():
    texts = [text for text in TEXTS if text_hash(text) > 0.05][:30]
    result = list(hold_out(["Heading", *texts, "* list"], 0.01))
    assert [text for held_out, text in result if held_out] == [min(texts, key=text_hash)]
    assert sorted(text for _, text in result) == sorted(["Heading", *texts, "* list"])


def test_copies_of_the_document_with_the_smallest_hash_go_with_it():
    first, second = sorted(TEXTS[:2], key=text_hash)
    assert text_hash(first) > 0.001
    held = [(held_out, text) for held_out, text in hold_out([second, first, second, first], 0.001)]
    assert sorted(held) == sorted([(False, second), (False, second), (True, first), (True, first)])
    assert not any(held_out for held_out, _ in hold_out([first, first], 0.001))


def test_the_only_document_and_a_share_of_zero_hold_nothing_out():
    only = next(text for text in TEXTS if text_hash(text) > 0.5)
    assert list(hold_out(["Heading", only, "* list"], 0.01)) == [(False, "Heading"), (False, "* list"), (False, only)]
    assert not any(held_out for held_out, _ in hold_out(TEXTS, 0))


def test_a_block_becomes_rows_of_two_spans_between_special_tokens(recipe, tokenizer):
    made = BlockMaker(recipe).make(Block(False, 0, TEXTS[:50]))
    rows = made.sequences.to_pylist()
    for row in rows:
        ids, start = row["input_ids"], row["second_start"]
        assert ids[0] == recipe.cls_token_id
        assert ids[start - 1] == ids[-1] == recipe.sep_token_id
        assert ids.count(recipe.sep_token_id) == 2
        assert 5 <= len(ids) <= recipe.max_seq_length
    assert made.tokens == sum(len(row["input_ids"]) for row in rows)
    assert made.documents == 50
    assert made.sentences == sum(text.count(".") for text in TEXTS[:50])
    assert made.corpus_tokens == sum(len(ids_of(tokenizer, text)) for text in TEXTS[:50])
    assert made.unknown_tokens == 0


def test_words_that_the_vocabulary_lacks_are_counted(recipe, tokenizer):
    made = BlockMaker(recipe).make(Block(False, 0, [f"{text} Ωμέγα." for text in TEXTS[:20]]))
    rows = made.sequences.column("input_ids").to_pylist()
    assert made.unknown_tokens == sum(row.count(tokenizer.unk_token_id) for row in rows) > 0


def test_every_sentence_of_a_block_is_in_a_sequence(recipe, tokenizer):
    made = BlockMaker(recipe).make(Block(False, 0, TEXTS))
    decoded = [f" {' '.join(map(str, ids))} " for ids in made.sequences.column("input_ids").to_pylist()]
    everything = "".join(decoded)
    for sentence in " ".join(TEXTS).replace("\n", " ").split(". "):
        ids = ids_of(tokenizer, sentence.rstrip(".") + ".")
        assert f" {' '.join(map(str, ids))} " in everything


def test_a_block_depends_on_seed_kind_and_index(recipe):
    def rows(seed=0, held_out=False, index=0):
        other = Recipe(**(vars(recipe) | {"seed": seed}))
        return BlockMaker(other).make(Block(held_out, index, TEXTS[:30])).sequences.to_pylist()

    assert rows() == rows()
    assert all(rows() != other for other in (rows(seed=1), rows(held_out=True), rows(index=1)))


def test_a_block_without_prose_has_no_rows(recipe):
    made = BlockMaker(recipe).make(Block(True, 0, ["Heading", "* list"]))
    assert (made.sequences.num_rows, made.documents, made.tokens, made.test_rows) == (0, 0, 0, [])


def test_test_rows_mask_one_whole_word_of_the_vocabulary(recipe, tokenizer):
    made = BlockMaker(recipe).make(Block(True, 0, TEXTS[:40]))
    sentences = set(" ".join(TEXTS[:40]).replace("\n", " ").replace(". ", ".|").split("|"))
    assert len(made.test_rows) > 40
    for row in made.test_rows:
        assert row["input_string"].count("[MASK]") == 1
        assert len(ids_of(tokenizer, row["title"])) == 1
        assert row["title"] in tokenizer.get_vocab()
        spellings = (row["title"], row["title"].capitalize())
        assert any(row["input_string"].replace("[MASK]", word) in sentences for word in spellings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"Anna painted it," (David) said.', {"anna", "painted", "david"}),
        ("Don't half-paint the garden's boat_house, D'Anna.", {"the"}),
        ("He saw a 7.", set()),
        ("The [MASK] painted Anna.", set()),
    ],
)
def test_words_to_mask_stand_on_their_own(recipe, text, words):
    maker = BlockMaker(recipe)
    rows = [maker._mask_word(text, Random(seed)) for seed in range(40)]
    assert {row["title"] for row in rows if row} == words
