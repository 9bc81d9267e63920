"""The names, order and digits that every table and figure prints."""

from ifmsr.scenes import DATASETS

DIGITS = {"PSNR": 2, "SSIM": 3, "SAM": 2, "ERGAS": 2, "RMSE": 3}  # as many as the paper prints
HIGHER_IS_BETTER = ("PSNR", "SSIM")
DATASET_LABELS = {
    "cave": "CAVE",
    "harvard": "Harvard",
    "chikusei": "Chikusei",
    "worldview2": "WorldView-2",
    "indian-pines": "Indian Pines",
}
METHOD_LABELS = {
    "bicubic": "Bicubic",
    "closed-form": "Closed-form",
    "subspace-net": "SubspaceNet",
    "gsa": "GSA",
    "mtf-glp-hs": "MTF-GLP-HS",
    "cnmf": "CNMF",
    "hysure": "HySure",
    "lttr": "LTTR",
    "lttr-estimated": "LTTR, estimated kernel, LR weight 0.02",
    "lttr-oracle": "LTTR, true kernel, LR weight 0.02",
    "cms": "CMS",
    "cms-back-projected": "CMS, back-projected",
    "cms-estimated": "CMS, estimated kernel, LR weight 0.1",
    "cms-oracle": "CMS, true kernel, LR weight 0.1",
    "pzres-net": "PZRes-Net",
    "mhf-net": "MHF-net",
    "mog-dcn": "MoG-DCN",
    "ual": "UAL",
    "ual-fusion": "UAL (fusion only)",
    "ifmsr": "IFMSR",
}


def caveat(dataset: str) -> str:
    """What has to stand beside numbers of a data set, by its name or its printed one; "" for nothing."""
    names = {printed: name for name, printed in DATASET_LABELS.items()}
    name = names.get(dataset, dataset)
    return DATASETS[name].caveat if name in DATASETS else ""


def method_label(method: str) -> str:
    """A method's name as tables and figures print it."""
    return METHOD_LABELS.get(method, method)
