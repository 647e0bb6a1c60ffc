"""Tests of the survey: what a collection holds and how much room it takes."""
