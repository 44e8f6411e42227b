"""The command line: `azureml-local up | down | status | reset | env | config | run | watch | cancel | deploy | ...`."""

import argparse
import importlib
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from azureml_local.disk import REMOVABLE, is_full
from azureml_local.errors import InputError
from azureml_local.exit_status import BROKEN_PIPE, INTERRUPTED, MISTAKE
from azureml_local.home import HOME_VARIABLE
from azureml_local.settings import add_settings

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status. Mistakes of the user are one sentence on stderr, without a stack."""
    options = _options(arguments)
    os.umask(0o077)
    try:
        command: Command = options.command
        status = command(options)
        sys.stdout.flush()
        return status
    except InputError as mistake:
        print(f"azureml-local: {mistake}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who reads has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:  # a path that is too long, closed or away; a disk that is full
        if error.filename is None and not is_full(error):
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"azureml-local: {where}{error.strerror}.", file=sys.stderr)
        return MISTAKE
    except sqlite3.OperationalError as error:
        print(f"azureml-local: the workspace's database cannot be used: {error}.", file=sys.stderr)
        return MISTAKE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The parsed command line; what a command does not know is refused with that command's own usage."""
    parser, parsers = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        field = unknown[0].removeprefix("--")
        hint = f"; a field of the job is given with --set {field}" if options.name == "run" and "=" in field else ""
        parsers[options.name].error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def _later(module: str, name: str) -> Command:
    """A command whose module is imported when it is called: the SDK's libraries take a second, `check` a tenth."""

    def command(options: argparse.Namespace) -> int:
        imported = importlib.import_module(f"azureml_local.{module}")
        return int(getattr(imported, name)(options))

    return command


def _home(text: str) -> Path:
    return Path(_given(text))


def _given(text: str) -> str:
    if not text.strip():  # an unset shell variable, most likely; to leave the option out is not what was meant
        raise argparse.ArgumentTypeError("got an empty text; leave the option out, or set the variable it is from")
    return text


def _serving_name(text: str) -> str:
    from azureml_local.checks.written import SERVING_NAME, SERVING_NAME_RULE

    if not SERVING_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f'"{text}" is no such name: {SERVING_NAME_RULE}')
    return text


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and those of the commands by their names."""
    parser = argparse.ArgumentParser(
        prog="azureml-local", description="An Azure ML workspace on this machine, for the unmodified SDK."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")

    def add_without_home(name: str, module: str, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(command=_later(module, name))
        return added

    def add(name: str, module: str, help: str) -> argparse.ArgumentParser:
        added = add_without_home(name, module, help)
        added.add_argument(
            "--home",
            type=_home,
            metavar="DIR",
            help=f"the workspace's folder (default: ${HOME_VARIABLE}, else ~/.azureml-local)",
        )
        return added

    add_settings(add("up", "workspace_commands", "Start the workspace in the background; returns when it answers."))
    add("down", "workspace_commands", "End the workspace and everything that it runs.")
    add(
        "status", "workspace_commands", "Show whether the workspace is up, where, what it serves and takes on the disk."
    )
    _add_reset(add("reset", "workspace_commands", "End the workspace and delete everything that it keeps."))
    add("env", "workspace_commands", 'Print what points a client at the workspace: eval "$(azureml-local env)".')
    config = add_without_home("config", "config_command", "Write .azureml/config.json, for MLClient.from_config.")
    config.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="DIR", help="default: this folder")
    _add_run(add("run", "run_command", "Run a job file through the SDK; starts a workspace when none is up."))
    watch = add("watch", "run_command", "Follow a submitted job to its end.")
    watch.add_argument("job", metavar="JOB", help="the job's name, as `run --detach` prints it")
    cancel = add("cancel", "run_command", "End a job that runs or waits, and wait until it has ended.")
    cancel.add_argument("job", metavar="JOB", help="the job's name, as `run` prints it")
    _add_deploy(
        add("deploy", "deploy_command", "Create the endpoint and deployment of a folder; all traffic goes there.")
    )
    _add_invoke(add("invoke", "invoke_command", "Send a request to an endpoint and print its answer."))
    check_help = "Say what is wrong with job, component and endpoint files, offline."
    _add_check(add_without_home("check", "check_command", check_help))
    return parser, dict(commands.choices)


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("file", type=Path, metavar="FILE", help="a pipeline or command job")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a field, as `az ml job create --set` does: inputs.seed=1, jobs.train.inputs.epochs=2",
    )
    run.add_argument(
        "--register",
        action="append",
        default=[],
        metavar="OUTPUT=MODEL",
        help="register an output of the completed job as a model",
    )
    run.add_argument(
        "--detach", action="store_true", help="return when the job is submitted; `azureml-local watch` follows it"
    )
    run.add_argument("--keep-up", action="store_true", help="leave a workspace up that was started for this job")
    add_settings(run.add_argument_group("how a workspace runs jobs, where one is started for this job"))


def _add_reset(reset: argparse.ArgumentParser) -> None:
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.add_argument("--only", choices=REMOVABLE, help="delete only what the workspace makes again when it needs it")


def _add_deploy(deploy: argparse.ArgumentParser) -> None:
    deploy.add_argument("folder", type=Path, metavar="DIR", help="holds endpoint.yml and deployment.yml")
    deploy.add_argument(
        "--deployment", type=Path, metavar="FILE", help="the deployment's file (default: DIR/deployment.yml)"
    )
    deploy.add_argument(
        "--model",
        type=_given,
        metavar="MODEL",
        help="a model's file or folder, or azureml:NAME:VERSION, in place of the one in the deployment's file",
    )


def _add_invoke(invoke: argparse.ArgumentParser) -> None:
    invoke.add_argument("endpoint", type=_serving_name, metavar="ENDPOINT")
    request = invoke.add_mutually_exclusive_group(required=True)
    request.add_argument("--request-file", type=Path, metavar="FILE", help="a JSON file with the request")
    request.add_argument(
        "--text", action="append", metavar="TEXT", help='ask {"input_data": [TEXT, ...]}; may be repeated'
    )
    invoke.add_argument(
        "--deployment", type=_serving_name, metavar="NAME", help="ask this deployment, whatever the traffic says"
    )
    invoke.add_argument(
        "--json", action="store_true", help="print the answer as it came, as is done wherever no terminal is"
    )


def _add_check(check: argparse.ArgumentParser) -> None:
    check.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a YAML file, or a folder, of which all files are checked that are Azure ML's",
    )
    check.add_argument("--format", choices=("text", "json"), default="text", help="json is for editors (default: text)")
    check.add_argument("--strict", action="store_true", help="fail on warnings, too")


if __name__ == "__main__":
    sys.exit(main())
