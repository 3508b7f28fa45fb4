//! Conditions on one argument of a system call, as the kernel looks at it: an int, or a word of flags.

use nix::libc;
use seccompiler::{
    BackendError, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp, SeccompCondition,
    SeccompRule,
};

type Condition = Result<SeccompCondition, BackendError>;

pub(super) fn number(value: libc::c_int) -> libc::c_ulong {
    libc::c_ulong::try_from(value).unwrap_or_default()
}

/// The argument has exactly one of these values.
pub(super) fn one_of(
    argument: u8,
    values: impl IntoIterator<Item = libc::c_ulong>,
) -> Result<Vec<SeccompRule>, BackendError> {
    values.into_iter().map(|value| SeccompRule::new(vec![is(argument, value)?])).collect()
}

pub(super) fn is(argument: u8, value: libc::c_ulong) -> Condition {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value)
}

/// All of these bits are set.
pub(super) fn all_of(argument: u8, bits: libc::c_ulong) -> Condition {
    SeccompCondition::new(argument, Qword, SeccompCmpOp::MaskedEq(bits), bits)
}

/// None of these bits is set.
pub(super) fn lacks(argument: u8, bits: libc::c_ulong) -> Condition {
    SeccompCondition::new(argument, Qword, SeccompCmpOp::MaskedEq(bits), 0)
}
