//! A running replica: what it is asked, and what it says of itself. Nothing of the guarantee rests on either.

pub mod agent;
pub mod control;
pub mod status;
pub mod traces;
