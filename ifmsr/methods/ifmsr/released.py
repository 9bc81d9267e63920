"""Names of IFMSR's parameters in the authors' released program."""

RELEASED_NAMES = {  # ours -> theirs; in a stage their "hsi" units act on the RGB stream and vice versa
    "hsi_head": "hsi_head",
    "rgb_head": "rgb_head",
    **{
        f"stages.{{i}}.{ours}_unit{number}.{conv_name}": f"inter_body.{{i}}.unit_{theirs}_{number}.m.{position}"
        for ours, theirs in (("rgb", "hsi"), ("hsi", "rgb"))
        for number in (1, 2)
        for conv_name, position in (("first", 0), ("second", 2))
    },
    **{
        f"stages.{{i}}.{stream}_mcpa.{ours}": f"inter_body.{{i}}.FASplit.aggregate.{stream}_{theirs}"
        for stream in ("rgb", "hsi")
        for ours, theirs in (("gamma", "gamma"), ("fusion", "Fusion"))
    },
    "stages.{i}.rde.reduce": "inter_body.{i}.ddpm.down_input",
    "stages.{i}.rde.fuse": "inter_body.{i}.ddpm.fuse",
    **{
        f"stages.{{i}}.rde.{ours}.{part}": f"inter_body.{{i}}.ddpm.{theirs}.{their_part}"
        for ours, theirs in (("near", "branch_1"), ("far", "branch_3"))
        for part, their_part in (
            ("context", "gernerate_kernel.0"),
            ("taps", "gernerate_kernel.1"),
            ("fuse", "fuse"),
        )
    },
    "dcfm.rgb_reduce": "casde.reduce1",
    "dcfm.hsi_reduce": "casde.reduce2",
    **{
        f"dcfm.{ours}.{conv_name}": f"casde.{theirs}.m.{position}"
        for ours, theirs in (("alpha", "unit_hsi1"), ("beta", "unit_hsi2"))
        for conv_name, position in (("first", 0), ("second", 2))
    },
    "end": "hsi_end.0",
}


def released_name(ours: str) -> str:
    """The name of a parameter in the authors' program, given its name here."""
    ours = ours.replace("parametrizations.weight.original0", "weight_g")
    ours = ours.replace("parametrizations.weight.original1", "weight_v")
    stage = ours.split(".")[1] if ours.startswith("stages.") else ""
    module, _, parameter = ours.replace(f"stages.{stage}.", "stages.{i}.", 1).rpartition(".")
    if module in RELEASED_NAMES:
        return f"{RELEASED_NAMES[module]}.{parameter}".format(i=stage)
    return RELEASED_NAMES[f"{module}.{parameter}"].format(i=stage)
