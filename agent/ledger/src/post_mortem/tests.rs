//! The sentences.

use super::*;
