// SPDX-License-Identifier: BSD-3-Clause
//! A Host that speaks RMI 2.0.

mod command;
mod realm;

pub use command::{Host2, UnmapReply};
pub use realm::{RealmBuilder2, TestRealm2, realm_params, rec_params, sweep};
