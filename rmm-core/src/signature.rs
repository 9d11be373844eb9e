// SPDX-License-Identifier: BSD-3-Clause
//! Signatures of Realm tokens by EL3, which keeps the key (RMM_EL3_TOKEN_SIGN).
//!
//! A REC pushes its request, then pulls until EL3 has an answer. EL3 answers whoever pulls with the
//! response to any request, so one for another REC goes to a mailbox, where that REC finds it. Each
//! request has a ticket of its own: the response to a request whose token was dropped fits no other
//! token, and is overwritten in the mailbox some day.

use crate::el3::SharedPage;
use crate::machine::Machine;
use crate::monitor::ThisCpu;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::el3::{TOKEN_SIGN_PULL, TOKEN_SIGN_PUSH, TokenSignResponse, error, fid};
use rmm_attest::TokenContext;
use rmm_granule::GRANULE_SIZE;
use rmm_rsi::TokenStep;
use spin::Mutex;
use zerocopy::{FromZeros, IntoBytes};

/// Responses that wait for their RECs. If there are more, the oldest is lost, and its REC repeats the
/// request.
const MAILBOX_SIZE: usize = 4;

/// What all CPUs share for signatures by EL3.
pub struct Signatures {
    exchange: Mutex<Exchange>,
    tickets: AtomicU64,
}

struct Exchange {
    page: SharedPage,
    /// Responses to requests of other RECs; a ticket of 0 is that of no request.
    mailbox: [TokenSignResponse; MAILBOX_SIZE],
    /// Place of the next response.
    next: usize,
}

impl Signatures {
    /// Signatures by way of this page.
    #[must_use]
    pub fn new(page: SharedPage) -> Self {
        Self {
            exchange: Mutex::new(Exchange {
                page,
                mailbox: FromZeros::new_zeroed(),
                next: 0,
            }),
            tickets: AtomicU64::new(0),
        }
    }

    /// A ticket that no other token has, from 1 on.
    pub fn next_ticket(&self) -> u64 {
        // 2^64 tokens are never generated.
        self.tickets.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

impl Exchange {
    fn push(&mut self, response: &TokenSignResponse) {
        if let Some(place) = self.mailbox.get_mut(self.next) {
            *place = *response;
        }
        self.next = (self.next + 1) % MAILBOX_SIZE;
    }

    fn take(&mut self, ticket: u64) -> Option<TokenSignResponse> {
        let place = self
            .mailbox
            .iter_mut()
            .find(|response| response.ticket == ticket)?;
        let response = *place;
        place.zero();
        Some(response)
    }
}

/// Does what the token of the REC at `cookie` needs from EL3 next: to push its request, or to pull
/// the signature.
pub fn step<M: Machine>(cpu: &ThisCpu<'_, M>, cookie: u64, token: &mut TokenContext) -> TokenStep {
    // Another CPU has the page: the Realm tries again, rather than wait with interrupts masked.
    let Some(mut exchange) = cpu.monitor.signatures.exchange.try_lock() else {
        return TokenStep::Waiting;
    };
    let page = exchange.page.pa();
    if let Some(request) = token.signature_request(cookie) {
        exchange.page.write(request.as_bytes());
        let args = [TOKEN_SIGN_PUSH, page, size_of_val(&request) as u64, 0];
        return match exchange
            .page
            .call(cpu.machine, fid::RMM_EL3_TOKEN_SIGN, args)
        {
            Ok(_) => {
                token.requested();
                TokenStep::Working
            }
            Err(error::AGAIN) => TokenStep::Waiting,
            Err(_) => fail(token),
        };
    }
    if let Some(response) = exchange.take(token.ticket()) {
        token.signature(&response);
        return TokenStep::Working;
    }
    let args = [TOKEN_SIGN_PULL, page, GRANULE_SIZE as u64, 0];
    match exchange
        .page
        .call(cpu.machine, fid::RMM_EL3_TOKEN_SIGN, args)
    {
        Ok(_) => {
            let mut response = TokenSignResponse::new_zeroed();
            exchange.page.read(response.as_mut_bytes());
            if response.ticket == token.ticket() {
                token.signature(&response);
            } else {
                exchange.push(&response);
            }
            TokenStep::Working
        }
        Err(error::AGAIN) => {
            token.unanswered();
            TokenStep::Waiting
        }
        Err(_) => fail(token),
    }
}

fn fail(token: &mut TokenContext) -> TokenStep {
    token.end();
    TokenStep::Failed
}
