//! The attributes of `task-abi`.
