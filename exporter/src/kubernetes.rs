//! Which workload a pod is of: the API server is asked for the pods of this node, and what
//! changes of them is watched, where a flag asks for it.
//!
//! A process of its own speaks with the API server (its role). It has the token and no
//! capability, and may connect to that server's port only. What it learns it tells the
//! process that reads in short lines ([`message`]), which believes nothing of them that it
//! can not check ([`told`]).

pub mod message;
pub mod object;
pub mod settings;
pub mod told;
