//! Which streams end, and which do not, when a key gets another owner. Members
//! and filter come from files here, so that each step is one of the test's.

mod calls;
mod crash;
mod kinds;
mod left;
mod listeners;
mod moved;
mod pulse;
mod scene;
mod together;
mod wrong;
