"""Critics: who rewrites an attempt for the teacher."""
