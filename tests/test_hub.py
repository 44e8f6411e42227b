import pytest
from transformers import AutoModelForMaskedLM

from bert_distillation import hub
from bert_distillation.errors import InputError
from small_models import PIECES, save, small_bert, small_tokenizer


def test_a_folder_wins_over_the_name(tokenizer, tmp_path):
    folder = save(small_bert(), tokenizer, tmp_path / "model")
    model = hub.load_model(AutoModelForMaskedLM, folder, "owner/nothing-there", of="teacher")
    assert model.config.vocab_size == len(PIECES)
    assert hub.load_config(folder, "", of="teacher").num_hidden_layers == 4


def test_a_name_carries_a_revision_and_our_defaults_are_pinned():
    assert hub.split_revision("owner/name@abc") == ("owner/name", "abc")
    assert hub.split_revision("owner/name") == ("owner/name", None)
    name, revision = hub.split_revision(hub.BERT)
    assert (name, len(revision)) == (hub.BERT, 40)


def test_the_name_and_its_revision_reach_the_hub_library(monkeypatch):
    calls = []
    monkeypatch.setattr(AutoModelForMaskedLM, "from_pretrained", lambda **arguments: calls.append(arguments))
    hub.load_model(AutoModelForMaskedLM, None, hub.BERT, of="teacher")
    assert calls == [
        {"pretrained_model_name_or_path": hub.BERT, "revision": hub.REVISIONS[hub.BERT], "use_safetensors": True}
    ]


@pytest.mark.parametrize(
    ("folder", "name", "sentence"),
    [
        ("absent", "", "teacher: there is no folder .*absent"),
        ("empty", "", "teacher: could not load .*empty"),
        (None, "", "teacher: give a folder with --teacher or a hub name with --teacher_name"),
        (None, "owner/nothing-there", "teacher: could not load owner/nothing-there: .* connection to the hub"),
    ],
)
def test_what_cannot_be_loaded_is_named(folder, name, sentence, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=sentence):
        hub.load_model(AutoModelForMaskedLM, folder and tmp_path / folder, name, of="teacher")


def test_a_vocabulary_file_alone_is_a_tokenizer_and_survives_saving(tmp_path):
    tokenizer = small_tokenizer(tmp_path / "vocabulary")
    loaded = hub.load_tokenizer(tmp_path / "vocabulary", "", of="tokenizer")
    loaded.save_pretrained(tmp_path / "saved")
    again = hub.load_tokenizer(tmp_path / "saved", "", of="tokenizer")
    assert hub.fingerprint(tokenizer) == hub.fingerprint(loaded) == hub.fingerprint(again)
    assert again("Paris rains")["input_ids"] == tokenizer("paris rains")["input_ids"]


def test_another_vocabulary_is_refused_with_both_sizes(tokenizer, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*PIECES[:-1], "zebra", "yak"]))
    other = hub.load_tokenizer(tmp_path, "", of="teacher")
    with pytest.raises(InputError, match=rf"teacher: its vocabulary \({len(PIECES) + 1} words\).*Run `preprocess`"):
        hub.require_same_vocabulary(other, tokenizer, of="teacher")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[PAD]\n[UNK]\nparis\n", r"lacks \[CLS\], \[MASK\], \[SEP\]"),
        (b"[PAD]\n\xff\xfe", r"not UTF-8 text \(byte 6\)"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(content, sentence, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        hub.load_tokenizer(tmp_path, "", of="tokenizer")
