"""Brings the system onto AWS and keeps it there: artefacts, CloudFormation with a preview, costs, and taking it down."""
