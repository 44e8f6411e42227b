"""What the command line says of arguments that it does not know."""

import pytest

from azureml_local import cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", "job.yml", "--inputs.seed=3"],
            "azureml-local run: error: unrecognized arguments: --inputs.seed=3; "
            "a field of the job is given with --set inputs.seed=3",
        ),
        (["run", "job.yml", "--bogus"], "azureml-local run: error: unrecognized arguments: --bogus"),
        (["up", "--x=1"], "azureml-local up: error: unrecognized arguments: --x=1"),
        (["check", ".", "--y"], "azureml-local check: error: unrecognized arguments: --y"),
    ],
)
def test_an_unknown_option_is_refused_with_the_usage_of_its_command(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    usage, *_, last = capsys.readouterr().err.splitlines()
    assert usage.startswith(f"usage: azureml-local {arguments[0]} ")
    assert last == said
