"""slurm/config.yaml with the real rules, planned without a Slurm."""

import re

import pytest
import yaml
from snakemake_runs import snakemake

GPU_RULES = {"base", "finetune", "fisher_part", "identity", "score", "embed", "pretrain", "heldout"}


def planned_resources(root, folder, device):
    """Resources of one job of each rule in a dry run of the demo."""
    config = yaml.safe_load((root / "config/demo.yaml").read_text()) | {"device": device}
    config["corpus"]["fasta"] = config["subset"]["fasta"] = [
        str(root / path) for path in config["corpus"]["fasta"]
    ]
    (folder / "demo.yaml").write_text(yaml.safe_dump(config))
    (folder / "resources").symlink_to(root / "resources")
    options = ["-n", "--profile", root / "slurm", "-s", root / "Snakefile"]
    done = snakemake([*options, "--configfile", "demo.yaml"], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.findall(
        r"^ *(local)?rule (\w+):$.*?^ *resources: ([^\n]+)$", done.stdout, re.M | re.S
    )
    return {
        rule: dict(pair.split("=", 1) for pair in text.split(", "))
        for local, rule, text in found
        if not local
    }


@pytest.mark.workflow
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_only_gpu_rules_ask_for_a_gpu(root, tmp_path, device):
    profile = yaml.safe_load((root / "slurm/config.yaml").read_text())["default-resources"]
    rules = planned_resources(root, tmp_path, device)
    assert {"ingest", "merge", "make_report", "baseline_read_errors", *GPU_RULES} <= set(rules)
    for rule, resources in rules.items():
        on_gpu = device == "auto" and (rule in GPU_RULES or rule.startswith(("evaluate_", "cnn_")))
        partition = profile["gpu_partition" if on_gpu else "slurm_partition"]
        assert resources["slurm_partition"] == partition
        assert resources.get("gpu") == ("1" if on_gpu else None)
        assert resources.get("gpu_model") == (profile["gpu_type"] if on_gpu else None)
        assert resources["slurm_account"] == profile["slurm_account"]


@pytest.mark.workflow
def test_memory_and_time_of_every_rule_are_its_own(root):
    text = "".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    n_rules = len(re.findall(r"^ *script:$", text, re.M))  # the others are names of targets
    for name in ("mem_mb=memory(", "runtime=runtime("):
        assert text.count(name) == n_rules, name
