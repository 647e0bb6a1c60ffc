"""What a collection holds beyond what decisions rest on, and how much room it needs: for people who plan a move."""

from vecferry.survey.findings import KeySurvey, Survey, TextSurvey, VectorSurvey
from vecferry.survey.surveyor import Surveyor

__all__ = ["KeySurvey", "Survey", "Surveyor", "TextSurvey", "VectorSurvey"]
