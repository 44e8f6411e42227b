"""Files that Azure takes, unusual as some of them are: `azureml-local check` has nothing to say of them.

Of those under NOT_CHECKED it says that it does not know their kind.
"""

FINE = {
    "anchors and merge keys": """
        type: pipeline
        settings: {default_compute: azureml:any}
        jobs:
          one: &prep {type: command, component: prep.yml, inputs: &few {rows: 3}}
          two: {<<: *prep, inputs: {<<: *few, mode: slow}}
    """,
    "registered components": """
        type: pipeline
        settings: {default_compute: azureml:any}
        outputs: {model: }
        jobs:
          one: {type: command, component: "azureml:step:1", inputs: {any: 1}}
          two:
            type: command
            component: azureml:step@latest
            inputs: {any: "${{parent.jobs.one.outputs.any}}"}
            outputs: {model: "${{parent.outputs.model}}"}
          three: {type: command, component: azureml://registries/azureml/components/step/versions/1}
          four: {type: command, component: prep.yml, inputs: {raw: "${{parent.jobs.two.outputs.other}}"}}
    """,
    "an inline component": """
        type: pipeline
        settings: {default_compute: azureml:any}
        jobs:
          one:
            type: command
            component:
              type: command
              name: one
              inputs: {rows: {type: integer}}
              environment: azureml:any@latest
              command: step ${{inputs.rows}}
            inputs: {rows: 3}
    """,
    "a command in the node": """
        type: pipeline
        settings: {default_compute: azureml:any}
        inputs: {rows: 3, table: {type: uri_folder, path: data}}
        jobs:
          one:
            type: command
            command: step ${{inputs.rows}} ${{inputs.table.path}} ${{outputs.any}}
            environment: azureml:any@latest
            inputs: {rows: "${{parent.inputs.rows}}", table: {path: "${{parent.inputs.table.path}}"}}
            outputs: {any: }
    """,
    "a sweep": """
        type: pipeline
        settings: {default_compute: azureml:any}
        jobs:
          one:
            type: sweep
            trial: prep.yml
            inputs: {title: some words}
            search_space: {rows: {type: choice, values: [1, 2]}, mode: {type: choice, values: [fast, slow]}}
            sampling_algorithm: random
            objective: {goal: minimize, primary_metric: loss}
            limits: {max_total_trials: 2}
          two: {type: command, component: train.yml, inputs: {table: "${{parent.jobs.one.outputs.table}}"}}
    """,
    "a sweep of its own": """
        type: sweep
        trial:
          command: step ${{inputs.rows}} ${{search_space.size}}
          environment: azureml:any@latest
        inputs: {rows: 3}
        search_space: {size: {type: uniform, min_value: 0, max_value: 1}}
        objective: {goal: minimize, primary_metric: loss}
        limits: {max_total_trials: 2}
    """,
    "nodes that run no command": """
        type: pipeline
        settings: {default_compute: azureml:any}
        inputs: {times: 3}
        jobs:
          body: {type: command, component: azureml:body@latest}
          many:
            type: parallel
            input_data: ${{inputs.raw}}
            inputs: {raw: "${{parent.jobs.body.outputs.table}}"}
            outputs: {all: }
            mini_batch_size: 10kb
            max_concurrency_per_instance: ${{parent.inputs.times}}
            error_threshold: -1
            mini_batch_error_threshold: 0.5
            retry_settings: {max_retries: 2, timeout: 60}
            task: {type: run_function, program_arguments: "--raw ${{inputs.raw}}", environment: "azureml:any@latest"}
          ask: {type: command, component: prep.yml, inputs: {title: "Answer {{inputs.question}} in a word"}}
          spark:
            type: spark
            entry: {file: step.py}
            args: --rows ${{inputs.rows}}
            inputs: {rows: "${{parent.inputs.times}}"}
            resources: {instance_type: Standard_E8S_V3, runtime_version: "3.4"}
            conf:
              spark.driver.cores: 1
              driver_memory: 1g
              spark.executor.cores: 1
              spark.executor.memory: 1g
              spark.dynamicAllocation.enabled: true
              spark.dynamicAllocation.minExecutors: 1
              spark.dynamicAllocation.maxExecutors: 2
          learn:
            type: automl
            task: classification
            target_column_name: kind
            training_data: ${{parent.jobs.body.outputs.table}}
    """,
    "an output with a place and a name": """
        type: pipeline
        settings: {default_compute: azureml:any}
        jobs:
          one:
            type: command
            component: prep.yml
            outputs:
              table: {type: uri_folder, path: "azureml://datastores/a/paths/${{name}}/", name: table, version: "1"}
    """,
    "inputs in groups": """
        type: command
        name: step
        environment: azureml:any@latest
        inputs: {size.rows: {type: integer}, size.columns: {type: integer, optional: true}}
        command: python step.py --rows ${{inputs.size.rows}} $[[--columns ${{inputs.size.columns}}]]
    """,
    "words in other cases": """
        $schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
        name: fill-mask
        auth_mode: AMLToken
        public_network_access: Enabled
    """,
    "a command of several lines": """
        type: command
        command: |
          python step.py \\
            --table ${{inputs.table}} \\
            -v
          ls |
            sort -r &&
          cat <<END
            --not an option
          END
        environment: azureml:any@latest
        inputs: {table: {type: mltable, path: "azureml:table:1", mode: eval_mount}}
        distribution: {type: tensorflow, worker_count: 2, parameter_server_count: 1}
        services: {board: {type: tensor_board, log_dir: outputs}, editor: {type: vs_code, nodes: all}}
        queue_settings: {job_tier: Standard, priority: high}
        resources: {instance_count: 2, shm_size: 2g, docker_args: "--ipc host", locations: [eastus]}
    """,
    "a deployment that says what it is": """
        type: managed
        name: blue
        endpoint_name: fill-mask
        model: azureml:any@latest
        instance_type: Standard_DS3_v2
        instance_count: 1
    """,
    "a compute as the command line writes it": """
        name: small
        type: AmlCompute
        size: Standard_DS3_v2
        tier: low_priority
        max_instances: 2
    """,
    "a program that takes its inputs from variables": """
        type: command
        name: step
        environment: azureml:any@latest
        inputs: {a: {type: integer}, b: {type: integer}, c: {type: string}, d: {type: uri_folder}}
        outputs: {e: {type: uri_folder}}
        command: python step.py
    """,
    "a pipeline component as a job": """
        type: pipeline
        component: inner.yml
        inputs: {table: {type: uri_folder, path: data}}
        outputs: {model: }
        settings: {default_compute: azureml:any}
    """,
    "code that includes a package of a feed": """
        $schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
        name: step
        type: command
        command: ls
        environment: azureml:any@latest
        additional_includes:
          - src
          - {type: artifact, organization: "https://dev.azure.com/any/", project: one, feed: two, name: a, version: "1"}
    """,
    "a search space in a search space": """
        type: sweep
        trial: {command: "echo ${{search_space.size}}", environment: "azureml:any@latest"}
        sampling_algorithm: {type: random, seed: 1, logbase: e}
        search_space:
          size: {type: choice, values: [{small: {type: uniform, min_value: 0, max_value: 1}}, {large: 3}, any]}
        objective: {goal: Minimize, primary_metric: loss}
        limits: {max_total_trials: 2}
        early_termination: {type: bandit, slack_amount: 0.2, evaluation_interval: }
    """,
    "tags and properties that are empty": """
        type: command
        command: ls
        environment: azureml:any@latest
        tags: {checked: }
        properties: {_azureml.ComputeTargetType: }
        identity: {type: AMLToken}
        services: {board: {type: tensor_board, log_dir: logs, nodes: all, port: 6006}}
    """,
    "a deployment on Kubernetes": """
        type: kubernetes
        name: blue
        endpoint_name: fill-mask
        model: azureml:any@latest
        resources: {requests: {cpu: "0.1", memory: 0.1Gi}, limits: {cpu: "0.2"}}
        scale_settings: {type: target_utilization, min_instances: 1, max_instances: 3}
        data_collector: {collections: {model_inputs: {enabled: "True"}}, sampling_rate: 0.1, rolling_rate: Hour}
    """,
    "values that a template leaves to be filled in": """
        type: pipeline
        settings: {default_compute: <compute>}
        inputs: {rows: <rows>, raw: "{{data}}"}
        jobs:
          one:
            type: command
            component: prep.yml
            inputs: {rows: "${{parent.inputs.rows}}", raw: "${{parent.inputs.raw}}"}
    """,
    "shares of traffic that a template leaves to be filled in": """
        $schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
        name: fill-mask
        traffic: {blue: <share>, green: 10}
    """,
}

NOT_CHECKED = {
    "a deployment for batches": """
        name: blue
        endpoint_name: paint-many
        model: azureml:any@latest
        compute: azureml:any
        resources: {instance_count: 2}
        mini_batch_size: 10
        output_action: append_row
        retry_settings: {max_retries: 3, timeout: 30}
    """,
    "a deployment of a model for batches": """
        name: blue
        endpoint_name: paint-many
        type: model
        model: azureml:any@latest
        compute: azureml:any
        settings: {mini_batch_size: 10, output_action: append_row}
    """,
    "an endpoint for batches": "{name: paint-many, auth_mode: aad_token, defaults: {deployment_name: blue}}",
    "a datastore": "{name: blobs, type: azure_blob, account_name: any, container_name: any}",
    "a workstation": "{name: mine, type: computeinstance, size: Standard_DS3_v2}",
    "a cluster": "{name: k8s, type: kubernetes, resource_id: /subscriptions/any, namespace: any}",
    "a configuration of somebody's own": "{type: bert_small, corpus: 'azureml:corpus:1'}",
}
