"""What OpenRLHF needs to run without a GPU: imported only where a training asks for ``device = "cpu"``.

Ray, DeepSpeed, OpenRLHF and vLLM are themselves; what stands in is what a CPU cannot be: CUDA's answers about devices,
flash-attention's compiled kernels, NCCL (gloo carries the weights), DeepSpeed's own Adam and shared-memory kernels.
"""
