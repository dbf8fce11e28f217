"""The embedded simulator: scene, tasks, scripted experts."""
