"""The files a cluster is made from, judged by Ray's own validator, or by what they must agree with."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def validated(config: dict) -> dict:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    return prepared


def cloud_example(text: str) -> dict:
    """The commented block, uncommented, in place of what it replaces."""
    block = text.split("spot GPU workers ---")[1].split("\n", 1)[1]
    example = yaml.safe_load("\n".join(line.removeprefix("# ") for line in block.splitlines()))
    return {**yaml.safe_load(text), **example}


def test_rays_validator_takes_the_cluster_file():
    prepared = validated(yaml.safe_load((ROOT / "ray_cluster.yaml").read_text()))
    assert prepared["head_node_type"] in prepared["available_node_types"]


def test_what_the_cluster_file_points_to_is_there():
    [(section, document)] = re.findall(
        r'see "(.+?)" in (\S+\.md)', (ROOT / "ray_cluster.yaml").read_text().splitlines()[0]
    )
    assert f"\n## {section}\n" in (ROOT / document).read_text()


def test_rays_validator_takes_the_cloud_example():
    prepared = validated(cloud_example((ROOT / "ray_cluster.yaml").read_text()))
    types = prepared["available_node_types"]
    assert types["head"]["resources"]["GPU"] == 0
    assert types["gpu"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_credentials_of_an_object_store_reach_all_that_ray_starts():
    """As the comments say: one more file, read before Ray starts."""
    text = (ROOT / "ray_cluster.yaml").read_text()
    [mount] = re.findall(r"^  # (/etc/ray/store\.env: \S+)$", text, re.MULTILINE)
    [read] = re.findall(r"Put `([^`]+)`", text)
    text = text.replace(f"  # {mount}", f"  {mount}").replace(
        "    RAY_AUTH_MODE=token", f"    {read} RAY_AUTH_MODE=token"
    )
    config = validated(yaml.safe_load(text))
    assert set(config["file_mounts"]) == {"/etc/ray/auth_token", "/etc/ray/store.env"}
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        start = next(command for command in commands if "ray start" in command)
        assert start.startswith(". /etc/ray/store.env; RAY_AUTH_MODE=token")


def test_the_validator_would_notice():
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    with pytest.raises(Exception, match="idle_timeout_minute"):
        validated({**config, "idle_timeout_minute": 10})


def test_all_nodes_keep_authentication_on():
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        start = next(command for command in commands if "ray start" in command)
        assert "RAY_AUTH_MODE=token" in start
        assert "RAY_AUTH_TOKEN_PATH=" in start


def test_the_ray_job_agrees_with_the_lock():
    job = yaml.safe_load((ROOT / "jobs/rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == metadata.version("ray")
    assert f"ray=={metadata.version('ray')}" in (ROOT / "requirements.lock").read_text()
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-gpus"] == "0"
    assert (ROOT / job["spec"]["entrypoint"].split()[1].removeprefix("/opt/pose-annotator/")).is_file()


# Fields of ray.io/v1 as KubeRay's API reference lists them, those of pods and containers as Kubernetes' does.
PUBLISHED = {
    "RayJob": """apiVersion kind metadata spec""",
    "RayJobSpec": """
        activeDeadlineSeconds backoffLimit rayClusterSpec submitterPodTemplate metadata clusterSelector
        submitterConfig managedBy deletionStrategy entrypoint runtimeEnvYAML jobId submissionMode
        entrypointResources entrypointNumCpus entrypointNumGpus ttlSecondsAfterFinished
        shutdownAfterJobFinishes suspend
    """,
    "RayClusterSpec": """
        authOptions suspend managedBy autoscalerOptions headServiceAnnotations enableInTreeAutoscaling
        gcsFaultToleranceOptions headGroupSpec rayVersion workerGroupSpecs
    """,
    "HeadGroupSpec": """template headService enableIngress rayStartParams serviceType""",
    "WorkerGroupSpec": """
        suspend groupName replicas minReplicas maxReplicas idleTimeoutSeconds rayStartParams template
        scaleStrategy numOfHosts
    """,
    "PodTemplateSpec": """metadata spec""",
    "PodSpec": """
        containers initContainers volumes nodeSelector tolerations affinity serviceAccountName
        imagePullSecrets restartPolicy securityContext terminationGracePeriodSeconds
    """,
    "Container": """
        name image command args env envFrom ports resources volumeMounts securityContext imagePullPolicy
        lifecycle livenessProbe readinessProbe workingDir
    """,
}


def unknown_fields(job: dict) -> list[str]:
    """Fields of a RayJob that are not published, by kind."""
    found: list[str] = []

    def look(kind: str, body: dict) -> dict:
        found.extend(f"{kind}.{name}" for name in body if name not in PUBLISHED[kind].split())
        return body

    cluster = look("RayClusterSpec", look("RayJobSpec", look("RayJob", job)["spec"])["rayClusterSpec"])
    groups = [("HeadGroupSpec", cluster["headGroupSpec"])]
    groups += [("WorkerGroupSpec", group) for group in cluster["workerGroupSpecs"]]
    for kind, group in groups:
        pod = look("PodSpec", look("PodTemplateSpec", look(kind, group)["template"])["spec"])
        for container in pod["containers"]:
            look("Container", container)
    return found


def test_the_ray_job_has_published_fields_and_hangs_together():
    text = (ROOT / "jobs/rayjob.yaml").read_text()
    job = yaml.safe_load(text)
    assert unknown_fields(job) == []
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        # The start of Ray takes texts; numbers are refused by the operator.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    entrypoint = job["spec"]["entrypoint"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        # Without an autoscaler that is asked for all of them, only `replicas` counts.
        assert cluster["enableInTreeAutoscaling"] is True
        assert f"--device cuda --workers {group['maxReplicas']} " in entrypoint
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == "1"
    misspelt = yaml.safe_load(text.replace("shutdownAfterJobFinishes", "shutdownAfterJobFinish"))
    assert unknown_fields(misspelt) == ["RayJobSpec.shutdownAfterJobFinish"]


def test_the_ray_job_takes_an_object_store_by_its_comments():
    text = (ROOT / "jobs/rayjob.yaml").read_text()
    text = re.sub(r"^  entrypoint: .+\n", "", text, flags=re.MULTILINE)
    job = yaml.safe_load(re.sub(r"^( +)# (entrypoint|envFrom): ", r"\1\2: ", text, flags=re.MULTILINE))
    assert unknown_fields(job) == []
    words = job["spec"]["entrypoint"].split()
    assert [word.split("/")[0] for word in (words[2], words[4])] == ["s3:", "s3:"] and words[3] == "--out"
    assert words[words.index("--weights-dir") + 1].startswith("/data/")
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for container in group["template"]["spec"]["containers"]:
            assert [list(source) for source in container["envFrom"]] == [["secretRef"]]


def documented_commands() -> list[str]:
    """What docs/scaling.md has people run on a cluster; of a job, its entry point."""
    section = (ROOT / "docs/scaling.md").read_text().split("\n## On a cluster\n")[1].split("\n## ")[0]
    commands = re.findall(r"`((?:ray|annotator) [^`]+)`", section)
    return [command.split(" -- ")[-1] for command in commands]


def test_ray_up_can_start_and_command_the_image():
    """It runs `docker run IMAGE bash`, then login shells, which reset PATH; jobs inherit theirs."""
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search("^ENTRYPOINT", text, re.MULTILINE)
    [profile] = re.findall(r"^RUN (echo .+) > /etc/profile\.d/\S+\.sh$", text, re.MULTILINE)
    login = f'PATH=/usr/local/bin:/usr/bin:/bin; eval "$({profile})"; printf %s "$PATH"'
    path = subprocess.run(["bash", "-c", login], capture_output=True, text=True, check=True).stdout
    [environment] = re.findall(r"^ENV PATH=([^:]+):", text, re.MULTILINE)
    assert path.split(":")[0] == environment == "/opt/pose-annotator/.venv/bin"

    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    programs = {
        next(word for word in command.split() if "=" not in word)
        for command in [*commands, *documented_commands()]
    }
    assert programs == {"ray", "annotator", "python"}
    here = Path(sys.executable).parent
    assert not [program for program in programs if not (here / program).exists()]
