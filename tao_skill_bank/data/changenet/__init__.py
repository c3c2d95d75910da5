"""What Visual ChangeNet data and specs look like: CSVs, images, the TAO spec, the KPI."""
