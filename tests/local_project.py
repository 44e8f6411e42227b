"""A project of another repository: two small components, a pipeline and an endpoint. No torch, no BERT."""

from pathlib import Path
from textwrap import dedent

FILES = {
    "src/greet.py": """
        import argparse
        import os
        from pathlib import Path

        import mlflow

        parser = argparse.ArgumentParser()
        parser.add_argument("--text")
        parser.add_argument("--times", type=int)
        parser.add_argument("--greeting", type=Path)
        options = parser.parse_args()
        rank = int(os.environ["RANK"])
        print(f"rank {rank} of {os.environ['WORLD_SIZE']} says {options.text}")
        if rank == 0:
            (options.greeting / "greeting.txt").write_text(options.text * options.times)
            mlflow.log_metric("times", options.times)
    """,
    "greet.yml": """
        $schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
        name: greet
        version: "1"
        type: command
        environment: {image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
        code: src
        distribution: {type: pytorch, process_count_per_instance: 2}
        inputs:
          text: {type: string}
          times: {type: integer, default: 2}
        outputs:
          greeting: {type: uri_folder}
        command: >-
          python greet.py
          --text ${{inputs.text}}
          --times ${{inputs.times}}
          --greeting ${{outputs.greeting}}
    """,
    "pack.yml": """
        $schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
        name: pack
        version: "1"
        type: command
        environment: {image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
        inputs:
          greeting: {type: uri_folder}
          notes: {type: uri_folder}
        outputs:
          packed: {type: custom_model}
        command: >-
          cp ${{inputs.greeting}}/greeting.txt ${{inputs.notes}}/* ${{outputs.packed}}/
          && echo packed
    """,
    "notes/note.txt": "remember",
    "pipeline.yml": """
        $schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
        type: pipeline
        display_name: greetings
        experiment_name: greetings
        inputs:
          text: hello
          processes: 2
          notes: {type: uri_folder, path: notes}
        outputs:
          model: {type: custom_model}
        settings: {default_compute: "azureml:any-cluster"}
        jobs:
          greet:
            type: command
            component: greet.yml
            inputs: {text: "${{parent.inputs.text}}", times: 3}
            distribution: {type: pytorch, process_count_per_instance: "${{parent.inputs.processes}}"}
          pack:
            type: command
            component: pack.yml
            inputs:
              greeting: ${{parent.jobs.greet.outputs.greeting}}
              notes: ${{parent.inputs.notes}}
            outputs: {packed: "${{parent.outputs.model}}"}
    """,
    "failing.yml": """
        $schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
        type: command
        command: echo the reason; exit 3
        environment: {image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
        compute: azureml:any-cluster
    """,
    "endpoint/score/score.py": """
        import json
        import os
        from pathlib import Path

        def init():
            global greeting
            greeting = next(Path(os.environ["AZUREML_MODEL_DIR"]).glob("*/greeting.txt")).read_text()

        def run(data):
            return [f"{greeting} {text}" for text in json.loads(data)["input_data"]]
    """,
    "endpoint/endpoint.yml": """
        $schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
        name: greeter
        auth_mode: key
    """,
    "endpoint/deployment.yml": """
        $schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
        name: blue
        endpoint_name: greeter
        model: azureml:greetings@latest
        code_configuration: {code: score, scoring_script: score.py}
        environment: {image: "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
        instance_type: Standard_DS3_v2
        instance_count: 1
    """,
}


def write_project(folder: Path) -> Path:
    """Write the project into a folder of its own below `folder`."""
    for name, text in FILES.items():
        file = folder / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip())
    return folder / "project"
