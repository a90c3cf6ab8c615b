"""Certify: from a model and a bound to verdicts, counts and rows that can be checked again."""

from zoo.certification.certificate import Certificate
from zoo.certification.certifier import Certifier, certify
from zoo.certification.evaluate import evaluate
from zoo.certification.report import Report, Row

__all__ = ["Certificate", "Certifier", "Report", "Row", "certify", "evaluate"]
