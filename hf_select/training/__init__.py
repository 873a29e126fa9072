"""Fine-tuning under Accelerate, and the benchmark that fills the record."""
