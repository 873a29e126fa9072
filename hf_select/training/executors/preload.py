"""What every job needs, imported once: the fork server loads this, and each job starts from it."""

import accelerate
import datasets
import torch
import transformers
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

import hf_select.features
import hf_select.proxies
import hf_select.tasks.base
import hf_select.tasks.data
import hf_select.training.cell_job
import hf_select.training.scoring
import hf_select.training.trial

__all__ = [
    "AutoImageProcessor",
    "AutoModelForImageClassification",
    "AutoModelForMultipleChoice",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "accelerate",
    "datasets",
    "hf_select",
    "torch",
    "transformers",
]
