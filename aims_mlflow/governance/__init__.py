"""What people declare: the governance profile in `governance/`, as models and as a loader."""
