//! The bounded queue before the model's thread. Interactive requests go first; those whose caller is gone give up their place.

use crate::local::ticket::Ticket;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use zhiyin_core::language::{LanguageError, Priority};

#[derive(Default)]
struct State {
    interactive: VecDeque<Ticket>,
    background: VecDeque<Ticket>,
    /// Why nothing is taken any more.
    closed: Option<String>,
}

impl State {
    fn len(&self) -> usize {
        self.interactive.len() + self.background.len()
    }

    fn drop_abandoned(&mut self) {
        self.interactive.retain(Ticket::is_wanted);
        self.background.retain(Ticket::is_wanted);
    }

    fn pop(&mut self) -> Option<Ticket> {
        self.interactive.pop_front().or_else(|| self.background.pop_front())
    }
}

/// Tickets that wait.
pub(super) struct Inbox {
    capacity: usize,
    state: Mutex<State>,
    more: Condvar,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), more: Condvar::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().len()
    }

    pub(super) fn push(&self, ticket: Ticket) -> Result<(), LanguageError> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.closed {
            return Err(LanguageError::unavailable(reason));
        }
        if state.len() >= self.capacity {
            state.drop_abandoned();
        }
        if state.len() >= self.capacity {
            return Err(LanguageError::QueueFull { capacity: self.capacity });
        }
        match ticket.priority() {
            Priority::Interactive => state.interactive.push_back(ticket),
            Priority::Background => state.background.push_back(ticket),
        }
        self.more.notify_one();
        Ok(())
    }

    /// The next ticket that is still wanted, if there is one now.
    pub(super) fn pop(&self) -> Option<Ticket> {
        let mut state = self.state.lock();
        std::iter::from_fn(|| state.pop()).find(Ticket::is_wanted)
    }

    /// Sleeps until there is a ticket. Returns false once closed.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.len() == 0 && state.closed.is_none() {
            self.more.wait(&mut state);
        }
        state.closed.is_none()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed.is_some()
    }

    /// Takes nothing any more and fails what waits.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.state.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        while let Some(ticket) = state.pop() {
            ticket.fail(LanguageError::unavailable(reason));
        }
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;
    use zhiyin_core::language::{GenerateRequest, Limits, Message, Role};

    fn ticket(text: &str, limits: Limits) -> Ticket {
        let messages = vec![Message::new(Role::User, text)];
        Ticket::Generate(GenerateRequest { limits, ..GenerateRequest::new(messages, 1) }, channel().0)
    }

    fn text(ticket: &Ticket) -> String {
        let Ticket::Generate(request, _) = ticket else { panic!("only texts are asked here") };
        request.messages[0].content()
    }

    #[test]
    fn who_waits_in_person_goes_first_and_each_line_keeps_its_order() {
        let inbox = Inbox::new(4);
        let hurried = || Limits::within(Duration::from_secs(60));
        for (name, limits) in [("a", Limits::default()), ("b", hurried()), ("c", Limits::default()), ("d", hurried())] {
            inbox.push(ticket(name, limits)).expect("room");
        }
        let order: Vec<String> = std::iter::from_fn(|| inbox.pop()).map(|t| text(&t)).collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
    }

    #[test]
    fn a_full_queue_refuses_unless_somebody_left_it() {
        let inbox = Inbox::new(1);
        let limits = Limits::default();
        inbox.push(ticket("leaver", limits.clone())).expect("room");
        assert_eq!(inbox.push(ticket("x", Limits::default())), Err(LanguageError::QueueFull { capacity: 1 }));
        limits.cancellation.cancel();
        inbox.push(ticket("x", Limits::default())).expect("the leaver's place");
        assert_eq!(inbox.pop().map(|t| text(&t)).as_deref(), Some("x"));
    }

    #[test]
    fn a_closed_queue_fails_what_waits_and_what_comes() {
        let inbox = Inbox::new(2);
        inbox.push(ticket("x", Limits::default())).expect("room");
        inbox.close("gone");
        assert_eq!((inbox.len(), inbox.wait()), (0, false));
        assert_eq!(inbox.push(ticket("y", Limits::default())), Err(LanguageError::unavailable("gone")));
    }
}
