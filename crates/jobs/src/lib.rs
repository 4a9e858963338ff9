//! soundproof-jobs
