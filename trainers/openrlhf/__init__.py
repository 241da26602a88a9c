"""The scale trainer: OpenRLHF's engine (Ray, DeepSpeed, vLLM) makes the checkpoints of sdbench's conditions."""
