import pytest
import torch
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoConfig, AutoModelForMaskedLM

from bert_distillation import hub
from bert_distillation.errors import InputError, PreemptedError
from small_models import PIECES, move_word, save, small_bert, small_tokenizer


def test_a_folder_wins_over_the_name(tokenizer, tmp_path):
    folder = save(small_bert(), tokenizer, tmp_path / "model")
    model = hub.load_model(AutoModelForMaskedLM, folder, "owner/nothing-there", of="teacher")
    assert model.config.vocab_size == len(PIECES)
    assert hub.load_with(AutoConfig, folder, "", of="teacher").num_hidden_layers == 4


def test_a_name_carries_a_revision_and_our_defaults_are_pinned():
    assert hub.split_revision("owner/name@abc") == ("owner/name", "abc")
    assert hub.split_revision("owner/name") == ("owner/name", None)
    name, revision = hub.split_revision(hub.BERT)
    assert (name, len(revision)) == (hub.BERT, 40)


def test_the_name_and_its_revision_reach_the_hub_library(monkeypatch):
    calls = []

    def from_pretrained(**arguments):
        calls.append(arguments)
        return small_bert(), {"missing_keys": set(), "mismatched_keys": set()}

    monkeypatch.setattr(AutoModelForMaskedLM, "from_pretrained", from_pretrained)
    hub.load_model(AutoModelForMaskedLM, None, hub.BERT, of="teacher")
    (arguments,) = calls
    assert arguments["pretrained_model_name_or_path"] == hub.BERT
    assert arguments["revision"] == hub.REVISIONS[hub.BERT]
    assert arguments["use_safetensors"] is True


@pytest.fixture
def broken(tokenizer, tmp_path):
    """A model's folder, to be broken."""
    return save(small_bert(), tokenizer, tmp_path / "model")


def test_a_model_that_lacks_weights_is_refused_because_they_would_be_random(broken):
    small_bert().bert.save_pretrained(broken)
    with pytest.raises(InputError, match=r"lacks \d+ weights of a BertForMaskedLM, among them cls\."):
        hub.load_model(AutoModelForMaskedLM, broken, "", of="teacher")
    hub.load_model(AutoModelForMaskedLM, broken, "", of="teacher", new=("cls.",))


def test_weights_that_are_cut_or_of_other_shapes_or_not_numbers_are_refused(broken, tokenizer):
    def refusal(sentence):
        with pytest.raises(InputError, match=sentence):
            hub.load_model(AutoModelForMaskedLM, broken, "", of="teacher")

    weights, config = broken / "model.safetensors", broken / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refusal("teacher: could not load")
    weights.write_bytes(whole)
    good = config.read_text()
    config.write_text(good.replace('"hidden_size": 32', '"hidden_size": 64'))
    refusal("teacher: ")
    config.write_text(good)
    model = small_bert()
    model.cls.predictions.bias.data[0] = float("nan")
    save(model, tokenizer, broken)
    refusal("are not finite numbers")


def test_pickled_weights_are_named_and_not_read(broken):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds no model\.safetensors\. pytorch_model\.bin is not read"):
        hub.load_model(AutoModelForMaskedLM, broken, "", of="teacher")


def test_what_a_trainer_leaves_beside_the_weights_is_not_taken_for_them(broken):
    (broken / "training_args.bin").touch()
    (broken / "config.json").unlink()
    with pytest.raises(InputError, match=r"holds no config\.json\. Give the folder of a model"):
        hub.load_model(AutoModelForMaskedLM, broken, "", of="teacher")


def test_a_folder_without_tokenizer_files_is_refused(broken):
    (broken / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"holds no tokenizer\.json and no vocab\.txt"):
        hub.load_tokenizer(broken, "", of="teacher")


@pytest.mark.parametrize(
    ("folder", "name", "sentence"),
    [
        ("absent", "", "teacher: there is no folder .*absent"),
        ("empty", "", "teacher: .*empty holds no config.json and no model.safetensors. Give"),
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


def test_weights_saved_in_half_precision_become_single(tokenizer, tmp_path):
    folder = save(small_bert().half(), tokenizer, tmp_path / "half")
    model = hub.load_model(AutoModelForMaskedLM, folder, "", of="teacher")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_another_vocabulary_is_refused_with_both_sizes(tokenizer, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*PIECES[:-1], "zebra", "yak"]))
    other = hub.load_tokenizer(tmp_path, "", of="teacher")
    with pytest.raises(InputError, match=rf"teacher: its vocabulary \({len(PIECES) + 1} words\).*Run `preprocess`"):
        hub.require_same_vocabulary(other, tokenizer, of="teacher")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[PAD]\n[UNK]\nparis\n", r"lacks \[CLS\], \[MASK\], \[SEP\]"),
        (b"[PAD]\n\xff\xfe", r"vocab\.txt:2 is not UTF-8 text \(byte 0xff at position 1 of the line\)"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(content, sentence, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        hub.load_tokenizer(tmp_path, "", of="tokenizer")


def test_a_configuration_beside_a_vocabulary_file_says_how_letters_are_read(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*PIECES, "Paris"]))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 64.0}')
    tokenizer = hub.load_tokenizer(tmp_path, "", of="teacher")
    assert tokenizer.tokenize("Paris paris") == ["Paris", "paris"]
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[", r"tokenizer_config\.json is not a tokenizer's configuration"),
        ("[3]", r"tokenizer_config\.json is not a tokenizer's configuration"),
        ('{"do_lower_case": "no"}', 'do_lower_case must be true or false, got "no"'),
        ('{"model_max_length": -1}', "model_max_length must be a whole number of at least 1, got -1"),
        ('{"model_max_length": 64.5}', "must be a whole number of at least 1, got 64.5"),
        ('{"model_max_length": "512"}', 'model_max_length must be a whole number of at least 1, got "512"'),
    ],
)
def test_a_configuration_beside_a_vocabulary_file_that_is_none_is_refused(content, sentence, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES))
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        hub.load_tokenizer(tmp_path, "", of="teacher")
    (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": null, "model_max_length": null}')
    assert hub.load_tokenizer(tmp_path, "", of="teacher").tokenize("Paris") == ["paris"]


def test_only_the_ends_of_lines_part_the_word_pieces(tmp_path):
    odd = ["\u2028", "a\x85", "b\x0c"]
    (tmp_path / "vocab.txt").write_text("\r\n".join([*PIECES, *odd, "last"]), newline="")
    vocabulary = hub.load_tokenizer(tmp_path, "", of="teacher").get_vocab()
    assert [vocabulary[piece] for piece in (*odd, "last")] == [len(PIECES) + number for number in range(4)]


def test_tokenizers_that_cut_words_elsewhere_have_other_fingerprints(tokenizer, tmp_path):
    other = small_tokenizer(tmp_path)
    assert hub.fingerprint(other) == hub.fingerprint(tokenizer)
    other.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    assert hub.fingerprint(other) != hub.fingerprint(tokenizer)


def test_to_be_told_to_stop_while_it_loads_is_no_fault_of_the_model(broken, monkeypatch):
    def told(**_):
        raise PreemptedError("told to stop")

    monkeypatch.setattr(AutoModelForMaskedLM, "from_pretrained", told)
    with pytest.raises(PreemptedError, match="told to stop"):
        hub.load_model(AutoModelForMaskedLM, broken, "", of="teacher")


def test_a_tokenizer_whose_ids_have_gaps_is_refused(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = hub.load_tokenizer(move_word(tmp_path, "paris", 631), "", of="tokenizer")
    with pytest.raises(InputError, match=r"tokenizer: it has \d+ words, and one of them the id 631; fill the gaps"):
        hub.require_all_ids(loaded, of="tokenizer")
    hub.require_all_ids(tokenizer, of="tokenizer")


def test_a_word_whose_id_the_model_lacks_is_refused_however_few_words_there_are(tokenizer, tmp_path):
    model = small_bert()
    last = model.config.vocab_size - 1
    tokenizer.save_pretrained(tmp_path)
    loaded = hub.load_tokenizer(move_word(tmp_path, "paris", last + 1), "", of="tokenizer")
    message = (
        rf"model: its tokenizer has {last + 1} words, one of them with the id {last + 1}, and the model {last + 1};"
    )
    with pytest.raises(InputError, match=message):
        hub.require_words(model, loaded, of="model")
    hub.require_words(small_bert(vocab_size=last + 2), loaded, of="model")
