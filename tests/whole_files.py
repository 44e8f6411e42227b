"""A file of each kind with nearly every field that it may have, all of them right."""

WHOLE = {
    "command_job": """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
name: job-one
display_name: A job
description: text
experiment_name: exp
tags: {a: b}
properties: {a: b}
parent_job_name: parent
command: python score.py --data ${{inputs.data}} --n ${{inputs.n}} --out ${{outputs.out}}
code: ./src
environment: azureml:env@latest
compute: azureml:cpu
inputs:
  data: {type: uri_folder, path: ./src, mode: ro_mount}
  n: 3
outputs:
  out: {type: uri_folder, mode: rw_mount}
environment_variables: {A: b}
limits: {timeout: 300}
resources:
  instance_count: 1
  instance_type: STANDARD_D2
  shm_size: 2g
  docker_args: --ipc=host
  properties: {a: b}
  locations: [westus]
distribution: {type: pytorch, process_count_per_instance: 2}
identity: {type: user_identity}
queue_settings: {job_tier: standard, priority: medium}
services:
  tb: {type: tensor_board, log_dir: logs}
  ssh: {type: ssh, ssh_public_keys: key}
  lab: {type: jupyter_lab, nodes: all}
""",
    "sweep_job": """
$schema: https://azuremlschemas.azureedge.net/latest/sweepJob.schema.json
type: sweep
display_name: A sweep
compute: azureml:cpu
trial:
  command: python score.py --lr ${{search_space.lr}} --n ${{search_space.n}} --data ${{inputs.data}}
  code: ./src
  environment: azureml:env@latest
  environment_variables: {A: b}
  resources: {instance_count: 1, shm_size: 2g}
  distribution: {type: pytorch, process_count_per_instance: 1}
inputs:
  data: {type: uri_folder, path: ./src}
sampling_algorithm: random
search_space:
  lr: {type: uniform, min_value: 0.1, max_value: 0.9}
  n: {type: choice, values: [1, 2]}
objective: {goal: minimize, primary_metric: loss}
limits: {max_total_trials: 4, max_concurrent_trials: 2, timeout: 600, trial_timeout: 60}
early_termination: {type: bandit, slack_factor: 0.1, evaluation_interval: 1, delay_evaluation: 2}
identity: {type: user_identity}
queue_settings: {job_tier: standard}
""",
    "median_sweep_job": """
$schema: https://azuremlschemas.azureedge.net/latest/sweepJob.schema.json
type: sweep
compute: azureml:cpu
trial:
  command: python score.py --lr ${{search_space.lr}}
  code: ./src
  environment: azureml:env@latest
sampling_algorithm: {type: random, seed: 3, rule: sobol, logbase: e}
search_space:
  lr: {type: quniform, min_value: 0.1, max_value: 0.9, q: 0.1}
  m: {type: normal, mu: 0.1, sigma: 0.9}
  k: {type: randint, upper: 4}
objective: {goal: minimize, primary_metric: loss}
limits: {max_total_trials: 4}
early_termination: {type: truncation_selection, truncation_percentage: 20, evaluation_interval: 1, delay_evaluation: 2}
""",
    "pipeline_job": """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
display_name: P
description: d
experiment_name: exp
tags: {a: b}
compute: azureml:cpu
identity: {type: aml_token}
settings:
  default_compute: azureml:cpu
  default_datastore: azureml:workspaceblobstore
  continue_on_step_failure: true
  force_rerun: false
inputs:
  data: {type: uri_folder, path: ./src, mode: ro_mount}
  n: 3
outputs:
  out: {type: uri_folder, mode: rw_mount}
jobs:
  one:
    type: command
    component: ./step.yml
    compute: azureml:cpu
    display_name: One
    inputs:
      data: ${{parent.inputs.data}}
      n: ${{parent.inputs.n}}
    outputs:
      out: ${{parent.outputs.out}}
    environment_variables: {A: b}
    resources: {instance_count: 1, instance_type: STANDARD_D2, shm_size: 2g, docker_args: x}
    distribution: {type: pytorch, process_count_per_instance: 1}
    limits: {timeout: 100}
    identity: {type: user_identity}
    queue_settings: {job_tier: standard}
  two:
    type: command
    command: ls ${{inputs.data}} > ${{outputs.o}}/x
    code: ./src
    environment:
      image: mcr.microsoft.com/azureml/base:latest
      conda_file: ./conda.yml
    inputs:
      data: {type: uri_folder, path: "${{parent.jobs.one.outputs.out}}", mode: download}
    outputs:
      o: {type: uri_folder, mode: upload}
  three:
    type: sweep
    trial: ./step.yml
    inputs:
      data: ${{parent.inputs.data}}
    search_space:
      n: {type: choice, values: [1, 2]}
    sampling_algorithm: grid
    objective: {goal: maximize, primary_metric: acc}
    limits: {max_total_trials: 4, max_concurrent_trials: 2, timeout: 600}
    early_termination: {type: median_stopping, delay_evaluation: 1}
""",
    "command_component": """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
type: command
name: comp
version: "1"
display_name: C
description: d
is_deterministic: true
tags: {a: b}
command: python score.py ${{inputs.data}} ${{inputs.n}} ${{inputs.x}} $[[${{inputs.s}}]] ${{inputs.b}} ${{outputs.out}}
code: ./src
environment: azureml:env@latest
distribution: {type: mpi, process_count_per_instance: 1}
resources: {instance_count: 1, shm_size: 2g, properties: {a: b}}
additional_includes: [./extra]
inputs:
  data: {type: uri_folder, description: d, mode: ro_mount}
  n: {type: integer, default: 3, min: 1, max: 5, description: d}
  x: {type: number, default: 0.5}
  s: {type: string, optional: true, enum: [a, b]}
  b: {type: boolean, default: true}
outputs:
  out: {type: uri_folder, description: d, mode: rw_mount}
""",
    "pipeline_component": """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
type: pipeline
name: comp
version: "1"
display_name: C
description: d
is_deterministic: true
tags: {a: b}
inputs:
  data: {type: uri_folder}
  n: {type: integer, default: 3, min: 1, max: 5}
outputs:
  out: {type: uri_folder}
jobs:
  one:
    type: command
    component: ./step.yml
    inputs:
      data: ${{parent.inputs.data}}
      n: ${{parent.inputs.n}}
    outputs:
      out: ${{parent.outputs.out}}
""",
    "environment": """
$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json
name: env
version: "1"
description: d
tags: {a: b}
image: mcr.microsoft.com/azureml/base:latest
conda_file: ./conda.yml
os_type: linux
inference_config:
  liveness_route: {path: /, port: 5001}
  readiness_route: {path: /, port: 5001}
  scoring_route: {path: /score, port: 5001}
""",
    "build_environment": """
$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json
name: env
version: "1"
build: {path: ./docker, dockerfile_path: Dockerfile}
""",
    "data": """
$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json
name: rows
version: "1"
type: uri_folder
path: ./src
description: d
tags: {a: b}
""",
    "model": """
$schema: https://azuremlschemas.azureedge.net/latest/model.schema.json
name: mod
version: "1"
type: custom_model
path: ./src
description: d
tags: {a: b}
properties: {a: b}
flavors: {python_function: {a: b}}
stage: Production
""",
    "endpoint": """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: end-one
description: d
auth_mode: key
tags: {a: b}
properties: {a: b}
identity: {type: system_assigned}
traffic: {blue: 100}
mirror_traffic: {green: 10}
public_network_access: enabled
""",
    "deployment": """
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: end-one
description: d
tags: {a: b}
properties: {a: b}
model: azureml:mod:1
model_mount_path: /var/models
code_configuration: {code: ./src, scoring_script: score.py}
environment: azureml:env@latest
environment_variables: {A: b}
instance_type: Standard_DS3_v2
instance_count: 1
app_insights_enabled: true
egress_public_network_access: enabled
private_network_connection: false
request_settings: {request_timeout_ms: 1000, max_concurrent_requests_per_instance: 2, max_queue_wait_ms: 100}
liveness_probe: {initial_delay: 10, period: 10, timeout: 2, success_threshold: 1, failure_threshold: 3}
readiness_probe: {initial_delay: 10, period: 10, timeout: 2, success_threshold: 1, failure_threshold: 3}
scale_settings: {type: default}
data_collector:
  sampling_rate: 0.5
  rolling_rate: hour
  collections:
    request: {enabled: 'true', data: {path: 'azureml://datastores/workspaceblobstore/paths/x'}}
  request_logging: {capture_headers: [a]}
""",
    "compute": """
$schema: https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json
name: cpu-cluster
type: amlcompute
description: d
tags: {a: b}
size: STANDARD_D2
tier: dedicated
min_instances: 0
max_instances: 4
idle_time_before_scale_down: 120
location: westus
identity: {type: system_assigned}
network_settings: {vnet_name: v, subnet: s}
ssh_settings: {admin_username: a, ssh_key_value: k}
ssh_public_access_enabled: true
enable_node_public_ip: true
""",
    "kubernetes_deployment": """
$schema: https://azuremlschemas.azureedge.net/latest/kubernetesOnlineDeployment.schema.json
type: kubernetes
name: blue
endpoint_name: end-one
model: azureml:mod:1
code_configuration: {code: ./src, scoring_script: score.py}
environment: azureml:env@latest
instance_type: small
resources:
  requests: {cpu: "0.1", memory: 0.1Gi}
  limits: {cpu: "0.2", memory: 200Mi}
scale_settings:
  type: target_utilization
  min_instances: 1
  max_instances: 3
  polling_interval: 10
  target_utilization_percentage: 70
""",
}
