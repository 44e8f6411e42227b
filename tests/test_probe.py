import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation.errors import InputError
from bert_distillation.minimal_pairs import Pair, ScoredPair, by_group, pair_metrics, read_pairs, score_pairs
from bert_distillation.occupations import OCCUPATIONS, OccupationLean, lean_metrics, words_for_people
from bert_distillation.probe import ProbeConfig, probe
from bert_distillation.pseudo_likelihood import encode, token_scores
from bert_distillation.student import student_from_teacher
from bert_distillation.subject import Subject, load_subject
from small_models import save, small_bert

TEXTS = ["the cat sleeps in the old house .", "paris is the capital of france .", "fish", "we run to the river today !"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    return save(small_bert(), tokenizer, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def subject(bert: Path) -> Subject:
    return load_subject(bert, "")


def plainly(subject: Subject, text: str) -> list[float]:
    """The log probability of each token where it alone is masked: one forward pass a token, the whole vocabulary."""
    ids = subject.tokenizer(text, return_tensors="pt")["input_ids"]
    scores = []
    for place in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, place] = subject.tokenizer.mask_token_id
        with torch.no_grad():
            log_probs = subject.model(masked).logits[0, place].log_softmax(dim=-1)
        scores.append(log_probs[ids[0, place]].item())
    return scores


@pytest.mark.parametrize("kind", ["bert", "student"])
def test_scores_are_those_of_one_mask_at_a_time(kind: str, bert: Path, tokenizer: PreTrainedTokenizerFast, tmp_path):
    folder = bert if kind == "bert" else save(student_from_teacher(small_bert(), 2), tokenizer, tmp_path)
    subject = load_subject(folder, "")
    found = list(token_scores(subject, encode(subject, TEXTS)))
    for text, scores in zip(TEXTS, found, strict=True):
        assert scores.tolist() == pytest.approx(plainly(subject, text), abs=1e-5)


def test_scores_do_not_depend_on_what_else_is_scored(subject: Subject):
    together = list(token_scores(subject, encode(subject, TEXTS * 70)))  # more than are read at once
    for text, scores in zip(TEXTS * 70, together, strict=True):
        alone = next(token_scores(subject, encode(subject, [text])))
        np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_a_text_that_cannot_be_scored_is_named(subject: Subject):
    with pytest.raises(InputError, match=r"A text to score has 1 to 62 tokens, got 63: 'cat cat"):
        encode(subject, ["cat " * 63])
    with pytest.raises(InputError, match="got 0: ''"):
        encode(subject, ["the cat", ""])


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A pair or two in each layout."""
    tmp_path /= "pairs"
    good = {"sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep.", "linguistics_term": "agreement"}
    write(tmp_path / "blimp" / "a.jsonl", json.dumps(good) + "\n")
    header = ",sent_more,sent_less,stereo_antistereo,bias_type\n"
    write(
        tmp_path / "crows.csv", f"{header}0,He runs.,She runs.,stereo,gender\n1,He eats.,She eats.,antistereo,gender\n"
    )
    write(tmp_path / "wino" / "pro_stereotyped_type1.txt.dev", "1 [The man] met her because [he] ran.\n")
    write(tmp_path / "wino" / "anti_stereotyped_type1.txt.dev", "1 [The man] met him because [she] ran.\n")
    rows = [("nurse.someone.1.male.txt", "He is."), ("nurse.someone.1.female.txt", "She is.")]
    rows += [("nurse.someone.1.neutral.txt", "They are.")]
    write(tmp_path / "gender.tsv", "sentid\tsentence\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    return tmp_path


def test_the_four_layouts_are_read(pairs: Path):
    assert read_pairs(pairs) == [
        Pair("blimp", "agreement", "The cat sleeps.", "The cat sleep."),
        Pair("crows_pairs", "gender", "He runs.", "She runs."),
        Pair("crows_pairs", "gender", "He eats.", "She eats."),
        Pair("winogender", "nurse", "He is.", "She is."),
        Pair("winobias", "type1", "The man met her because he ran.", "The man met him because she ran."),
    ]
    assert len(read_pairs(pairs, limit=1)) == 4
    assert read_pairs(pairs / "gender.tsv") == [Pair("winogender", "nurse", "He is.", "She is.")]


def test_a_limit_is_drawn_evenly_from_all_files_of_a_group(tmp_path: Path):
    for name in ("a", "b", "c"):
        rows = [
            {"sentence_good": f"{name}{place}", "sentence_bad": "x", "linguistics_term": "agreement"}
            for place in range(10)
        ]
        write(tmp_path / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    chosen = [pair.preferred for pair in read_pairs(tmp_path, limit=6)]
    assert chosen == ["a0", "a5", "b0", "b5", "c0", "c5"]
    for limit in (1, 7, 29, 30, 31):
        assert len(read_pairs(tmp_path, limit=limit)) == min(limit, 30)


def test_the_real_probes_are_read_whole(shared_data: Path):
    pairs = read_pairs(shared_data / "probes")
    found = {suite: sum(pair.suite == suite for pair in pairs) for suite in ("blimp", "crows_pairs", "winogender")}
    assert found == {"blimp": 33_500, "crows_pairs": 757, "winogender": 240}
    assert sum(pair.suite == "winobias" for pair in pairs) == 2 * 396


def test_rows_that_are_no_pairs_are_named_and_a_few_left_out(tmp_path: Path):
    row = json.dumps({"sentence_good": "a", "sentence_bad": "b"})
    path = write(tmp_path / "pairs.jsonl", '{"sentence_good": "x"}\n' + f"{row}\n" * 200)
    assert len(read_pairs(path)) == 200
    write(path, f'{row}\n{{"sentence": 1}}\n')
    with pytest.raises(
        InputError, match=r"pairs\.jsonl:2: no column sentence_good or sent_more or sentid; the row has"
    ):
        read_pairs(path)
    write(path, '{"sentid": "nurse", "sentence": "x"}\n')
    with pytest.raises(InputError, match=r'sentid "nurse" is not occupation\.participant\.answer\.gender'):
        read_pairs(path)
    with pytest.raises(InputError, match="there is no file or folder"):
        read_pairs(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pairs in the layout of BLiMP"):
        read_pairs(tmp_path / "empty")


def test_winobias_needs_both_files(tmp_path: Path):
    path = write(tmp_path / "pro_stereotyped_type2.txt", "1 The man ran.\n")
    with pytest.raises(InputError, match=r"has no anti_stereotyped_type2\.txt beside it"):
        read_pairs(path)
    path = path.rename(tmp_path / "anti_stereotyped_type2.txt")
    with pytest.raises(InputError, match=r"has no pro_stereotyped_type2\.txt beside it"):
        read_pairs(tmp_path)
    path = path.rename(tmp_path / "pro_stereotyped_type2.txt")
    write(tmp_path / "anti_stereotyped_type2.txt", "1 The man ran.\n2 She ran.\n")
    with pytest.raises(InputError, match=r"has 1 lines and anti_stereotyped_type2\.txt 2"):
        read_pairs(path)


def test_either_file_of_winobias_is_read_with_the_other(tmp_path: Path):
    pro = write(tmp_path / "pro_stereotyped_type2.txt", "1 [She] helped.\n")
    anti = write(tmp_path / "anti_stereotyped_type2.txt", "1 [He] helped.\n")
    pairs = [read_pairs(path) for path in (pro, anti, tmp_path)]
    assert len(pairs[0]) == 1
    assert pairs == [pairs[0]] * 3


def test_a_pair_is_compared_by_all_tokens_and_of_crows_pairs_by_the_shared_ones(subject: Subject):
    sentences = ("he eats a fish .", "she eats a fish .")
    blimp, crows = next(score_pairs(subject, [Pair(suite, "g", *sentences) for suite in ("blimp", "crows_pairs")]))
    scores = [plainly(subject, sentence) for sentence in sentences]
    assert (blimp.preferred, blimp.other) == pytest.approx([sum(own) for own in scores], abs=1e-4)
    assert (crows.preferred, crows.other) == pytest.approx([sum(own[1:]) for own in scores], abs=1e-4)


def test_shares_count_ties_half_and_groups_are_apart():
    pair = [Pair("blimp", group, "x", "y") for group in ("a", "a", "b")]
    scored = [ScoredPair(pair[0], -1, -2), ScoredPair(pair[1], -3, -3), ScoredPair(pair[2], -5, -4)]
    metrics = pair_metrics(scored, seed=0)
    assert (metrics["blimp"], metrics["blimp_pairs"]) == (0.5, 3)
    assert metrics["blimp_low"] <= 0.5 <= metrics["blimp_high"]
    assert [(row["group"], row["pairs"], row["share"]) for row in by_group(scored)] == [("a", 2, 0.75), ("b", 1, 0.0)]


def run(output: Path, **settings: object) -> tuple[dict[str, float], dict]:
    probe(ProbeConfig(probe_result=output, **settings))
    return json.loads((output / "metrics.json").read_text()), json.loads((output / "probes.json").read_text())


def test_the_step_writes_what_it_found(bert: Path, pairs: Path, tmp_path: Path):
    metrics, findings = run(tmp_path / "result", model=bert, minimal_pairs=pairs)
    assert {"blimp", "crows_pairs", "winobias", "winogender", "pronoun_log_odds", "pronoun_spread"} <= set(metrics)
    assert len(findings["occupations"]) == len(OCCUPATIONS)
    odds = [row["log_odds"] for row in findings["occupations"]]
    assert odds == sorted(odds)
    assert metrics["pronoun_log_odds"] == pytest.approx(np.mean(odds))
    assert metrics["pronoun_spread"] == pytest.approx(np.std(odds))
    lines = (tmp_path / "result" / "pairs.jsonl").read_text().splitlines()
    assert [json.loads(line)["suite"] for line in lines].count("crows_pairs") == 2
    assert set(json.loads((tmp_path / "result" / "step.json").read_text())["inputs"]) == {"model", "minimal_pairs"}


def test_a_model_that_only_says_he_leans_to_it(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    model = small_bert()
    with torch.no_grad():
        model.cls.predictions.bias[tokenizer.convert_tokens_to_ids("he")] += 50.0
        model.cls.predictions.bias[tokenizer.convert_tokens_to_ids("she")] += 47.0
    biased = save(model, tokenizer, tmp_path / "biased")
    before, after = (
        run(tmp_path / name, model=folder)[0]
        for name, folder in (("plain", save(small_bert(), tokenizer, tmp_path / "bert")), ("result", biased))
    )
    assert after["pronoun_log_odds"] - before["pronoun_log_odds"] == pytest.approx(3.0, abs=1e-3)
    assert after["pronoun_spread"] == pytest.approx(before["pronoun_spread"], abs=1e-3)
    assert "he" in [word["token"] for word in words_for_people(load_subject(biased, "").predictor)[0]["words"]]


def test_leans_are_log_odds():
    leans = [OccupationLean("a", math.log(3)), OccupationLean("b", -math.log(3))]
    metrics = lean_metrics(leans, seed=0)
    assert metrics["pronoun_log_odds"] == pytest.approx(0)
    assert metrics["pronoun_spread"] == pytest.approx(math.log(3))


def test_a_vocabulary_without_a_pronoun_is_told(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, capsys):
    folder = save(small_bert(), tokenizer, tmp_path / "bert")
    words = json.loads((folder / "tokenizer.json").read_text())
    words["model"]["vocab"]["xhe"] = words["model"]["vocab"].pop("he")
    (folder / "tokenizer.json").write_text(json.dumps(words))
    metrics, findings = run(tmp_path / "result", model=folder)
    assert (metrics, findings["occupations"]) == ({}, [])
    assert "occupations are left out: The target 'he' is not one word of the vocabulary" in capsys.readouterr().out


def test_pairs_too_long_for_the_model_are_left_out_and_told(bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    rows = [("cat " * 70, "cat"), ("the cat sleeps", "the cat sleep")]
    lines = [json.dumps({"sentence_good": good, "sentence_bad": bad}) for good, bad in rows]
    metrics, _ = run(tmp_path / "a", model=bert, minimal_pairs=write(tmp_path / "pairs.jsonl", "\n".join(lines)))
    assert metrics["blimp_pairs"] == 1
    assert "1 of 2 are too long for the model" in capsys.readouterr().out
    with pytest.raises(InputError, match="the model can read none of the 1 pairs"):
        run(tmp_path / "b", model=bert, minimal_pairs=write(tmp_path / "long.jsonl", lines[0]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.tsv",
            b"sentid\tsentence\na.b.1.male.txt\tHe is.\na.b.1.male.txt\tHe was.\n",
            r'a second male form of "a\.b\.1"',
        ),
        ("a.tsv", b"sentid\tsentence\na.b.1.male.txt\tHe is.\n", "has no form of the other gender"),
        ("a.csv", b"sent_more,sent_less,stereo_antistereo\nx,y,wrong\n", 'is "wrong" instead of stereo or antistereo'),
        ("a.csv", b"sent_more,sent_more,sent_less\nx,y,z\n", 'two columns are called "sent_more"'),
        (
            "a.csv",
            b'sent_more,sent_less\nx,y\n"x,y\nx,y\n',
            r"a\.csv:3: a quote that opens in this row is never closed",
        ),
        ("a.jsonl.gz", gzip.compress(b"{}" * 999, mtime=0)[:20] + b"broken", "is not a whole gzip file"),
        ("a.json", b'{"a": 1}', r"a \.json file is a list of objects, not dict"),
        ("pro_stereotyped_type1.txt", b"1 The man is old\xe9.\n", "not UTF-8 text"),
    ],
)
def test_pairs_that_cannot_be_told_apart_are_refused(name: str, content: bytes, message: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "anti_stereotyped_type1.txt").write_text("1 The man was old.\n")
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / name)


def test_winobias_is_read_with_a_byte_order_mark_and_packed(tmp_path: Path):
    for kind, word in (("pro", "old"), ("anti", "new")):
        text = b"\xef\xbb\xbf1 The [man] is " + word.encode() + b".\n"
        (tmp_path / f"{kind}_stereotyped_type1.txt.gz").write_bytes(gzip.compress(text))
    assert read_pairs(tmp_path) == [Pair("winobias", "type1", "The man is old.", "The man is new.")]


def test_half_a_character_in_a_group_does_not_end_the_step(bert: Path, tmp_path: Path):
    row = {"sentence_good": "the cat", "sentence_bad": "the cat sleeps", "UID": "x\ud800"}
    pairs = write(tmp_path / "pairs.jsonl", json.dumps(row))
    _, findings = run(tmp_path / "result", model=bert, minimal_pairs=pairs)
    assert findings["groups"][0]["group"] == "x?"


def test_a_result_over_the_pairs_is_refused(bert: Path, pairs: Path):
    with pytest.raises(InputError, match=r"probe_result .* and minimal_pairs .* overlap"):
        run(pairs, model=bert, minimal_pairs=pairs)
