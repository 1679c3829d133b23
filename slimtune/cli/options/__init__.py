"""What each verb that needs torch can be told: read for its help, without importing torch."""
