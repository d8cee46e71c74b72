"""What can be measured on a running model about sharing: curvature, noise, rehearsals, branches."""
