//! One file per kernel interface: `parse` over bytes beside `read` over a handle.
