"""A workspace whose disk one of its jobs has filled."""

import re
from pathlib import Path

from mounts import in_a_mount

JOB = """
type: command
command: dd if=/dev/zero of=${{outputs.out}}/big bs=1M
environment: {image: any}
outputs: {out: {type: uri_folder}}
"""


def test_a_job_that_fills_the_disk_ends_with_the_reason_and_goes_on_to_be_known(tmp_path: Path):
    disk, job = tmp_path / "disk", tmp_path / "job.yml"
    disk.mkdir()
    job.write_text(JOB)
    home = f"--home {disk}/home"
    script = f"mount -t tmpfs -o size=24m none {disk}\ncd {tmp_path}\nazureml-local run {job} --keep-up {home}\n"
    script += f"echo ended with $?\nazureml-local status {home}\nazureml-local down {home}"
    done = in_a_mount(script)
    assert done.stderr == ""
    told = " and wrote nothing to \\S+, perhaps because the disk of \\S+ is full"
    assert re.search(rf"failed: its command ended with status 1{told}", done.stdout), done.stdout
    assert "ended with 1\n" in done.stdout
    assert "jobs           1 Failed\n" in done.stdout
    assert "MB left" in done.stdout
