// SPDX-License-Identifier: BSD-3-Clause
//! Signatures of Realm tokens by EL3, which keeps the key (RMM_EL3_TOKEN_SIGN).
//!
//! A REC pushes its request, then pulls until EL3 has an answer. EL3 answers whoever pulls with the
//! response to any request, so one for another REC goes to a mailbox, where that REC finds it. Each
//! request has a ticket of its own: the response to a request whose token was dropped fits no other
//! token, and is overwritten in the mailbox some day.
//!
//! EL3 may have room for a single request, and keeps it until its response is pulled. The REC that
//! pushed it may never come back: its Realm has begun another token, or the Host has destroyed it. So
//! a REC that finds no room pulls, too.

use crate::el3::SharedPage;
use crate::machine::CallEl3;
use core::sync::atomic::{AtomicU64, Ordering};
use rmm_abi::el3::{TOKEN_SIGN_PULL, TOKEN_SIGN_PUSH, error, fid};
use rmm_abi::el3::{TokenSignRequest, TokenSignResponse};
use rmm_attest::TokenContext;
use rmm_granule::GRANULE_SIZE;
use rmm_rsi::TokenStep;
use spin::Mutex;
use zerocopy::{FromZeros, IntoBytes};

/// Responses that wait for their RECs. If there are more, the oldest is lost, and its REC repeats the
/// request.
const MAILBOX_SIZE: usize = 16;

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
    /// Pushes a request.
    fn push(&mut self, machine: &impl CallEl3, request: &TokenSignRequest) -> Result<(), i64> {
        self.page.write(request.as_bytes());
        let size = size_of_val(request) as u64;
        let args = [TOKEN_SIGN_PUSH, self.page.pa(), size, 0];
        self.page
            .call(machine, fid::RMM_EL3_TOKEN_SIGN, args)
            .map(|_| ())
    }

    /// Pulls a response.
    fn pull(&mut self, machine: &impl CallEl3) -> Result<TokenSignResponse, i64> {
        let args = [TOKEN_SIGN_PULL, self.page.pa(), GRANULE_SIZE as u64, 0];
        self.page.call(machine, fid::RMM_EL3_TOKEN_SIGN, args)?;
        let mut response = TokenSignResponse::new_zeroed();
        self.page.read(response.as_mut_bytes());
        Ok(response)
    }

    /// Puts a response into the mailbox. A REC waits for one response at most: an older one for it goes,
    /// so that a REC which begins token after token takes no place from the others.
    fn keep(&mut self, response: &TokenSignResponse) {
        let older = self
            .mailbox
            .iter_mut()
            .find(|kept| kept.ticket != 0 && kept.cookie == response.cookie);
        if let Some(place) = older {
            *place = *response;
            return;
        }
        if let Some(place) = self.mailbox.get_mut(self.next) {
            *place = *response;
        }
        self.next = (self.next + 1) % MAILBOX_SIZE;
    }

    /// Takes the response with this ticket out of the mailbox.
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

/// Does what the token of a REC needs from EL3 next: to push its request, or to pull the signature.
/// No other REC has the same `cookie`.
pub fn step(
    signatures: &Signatures,
    machine: &impl CallEl3,
    cookie: u64,
    token: &mut TokenContext,
) -> TokenStep {
    // Another CPU has the page: the Realm tries again, rather than wait with interrupts masked.
    let Some(mut exchange) = signatures.exchange.try_lock() else {
        return TokenStep::Waiting;
    };
    if let Some(response) = exchange.take(token.ticket()) {
        token.signature(&response);
        return TokenStep::Working;
    }
    let pushed = match token.signature_request(cookie) {
        Some(request) => exchange.push(machine, &request),
        None => Err(error::AGAIN),
    };
    match pushed {
        Ok(()) => {
            token.requested();
            TokenStep::Working
        }
        Err(error::AGAIN) => pull(machine, &mut exchange, token),
        Err(_) => fail(token),
    }
}

/// Pulls a response, for this token or any other.
fn pull(machine: &impl CallEl3, exchange: &mut Exchange, token: &mut TokenContext) -> TokenStep {
    match exchange.pull(machine) {
        Ok(response) => {
            if response.ticket == token.ticket() {
                token.signature(&response);
            } else {
                exchange.keep(&response);
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

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU8;
    use rmm_granule::Pa;

    fn response(cookie: u64, ticket: u64) -> TokenSignResponse {
        TokenSignResponse {
            cookie,
            ticket,
            ..TokenSignResponse::new_zeroed()
        }
    }

    #[test]
    fn a_rec_has_one_place_in_the_mailbox() {
        static PAGE: [AtomicU8; GRANULE_SIZE] = [const { AtomicU8::new(0) }; GRANULE_SIZE];
        let signatures = Signatures::new(SharedPage::new(Pa(0), &PAGE));
        let mut exchange = signatures.exchange.lock();
        exchange.keep(&response(0xA000, 1));
        for ticket in 2..100 {
            exchange.keep(&response(0xB000, ticket));
        }
        assert_eq!(exchange.take(1), Some(response(0xA000, 1)));
        assert_eq!(exchange.take(1), None);
        assert_eq!(exchange.take(98), None);
        assert_eq!(exchange.take(99), Some(response(0xB000, 99)));
    }
}
