//! The rules that need nothing but the event and the time it arrives. Pure: the same event at the same time gives the same answer.

use serde_json::{Map, Value};
use uuid::Uuid;
use zhiyin_core::{
    Event, EventInput, ExternalId, Kind, KindWeights, TimeInput, clock::Millis, event::EventDetails, limits,
    storage::RejectedEvent,
};

use super::{CleaningConfig, Finding, Rule, Screened};

/// Bytes of a refused event that are kept.
pub const BODY_KEPT_BYTES_MAX: usize = 4 * 1024;
/// Bytes of the name of a kind.
const KIND_BYTES_MAX: usize = 64;
const SECOND_MS: Millis = 1_000;
const DAY_MS: Millis = 86_400 * SECOND_MS;

/// The configured rules.
#[derive(Clone, Debug)]
pub struct Rules {
    config: CleaningConfig,
    kinds: KindWeights,
}

/// A refused event: why, and what was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Why.
    pub finding: Finding,
    /// The id that the client gave, if it gave one.
    pub id: Option<String>,
    /// The event as JSON, cut at [`BODY_KEPT_BYTES_MAX`].
    pub body: String,
}

impl Refused {
    /// A refusal of an event that could be read.
    pub fn new(finding: Finding, input: &EventInput) -> Self {
        let body = serde_json::to_string(input).unwrap_or_default();
        Self { finding, id: input.id.clone(), body: cut(body, BODY_KEPT_BYTES_MAX) }
    }

    /// A refusal of something that is no event at all.
    pub fn malformed(reason: impl Into<String>, body: String) -> Self {
        Self { finding: Finding::new(Rule::Schema, reason), id: None, body: cut(body, BODY_KEPT_BYTES_MAX) }
    }

    /// A refusal of an event that passed these rules, with its body as the log would have it.
    pub fn later(finding: Finding, id: &str, body: String) -> Self {
        Self { finding, id: Some(id.to_owned()), body: cut(body, BODY_KEPT_BYTES_MAX) }
    }

    /// The row that keeps it for inspection.
    pub fn row(&self, received_ms: Millis) -> RejectedEvent {
        RejectedEvent {
            received_ms,
            rule: self.finding.rule.name().into(),
            reason: self.finding.reason.clone(),
            body: self.body.clone(),
        }
    }
}

/// What reading the fields gave, before the texts are moved out of the input.
struct Parsed {
    id: ExternalId,
    kind: Kind,
    user: Option<ExternalId>,
    session: Option<ExternalId>,
    item: Option<ExternalId>,
    time_ms: Millis,
    dwell_seconds: Option<f64>,
    decision: Option<Uuid>,
    repairs: Vec<Finding>,
}

impl Rules {
    /// Rules with the limits of `config` for the kinds of `kinds`.
    pub fn new(config: CleaningConfig, kinds: KindWeights) -> Self {
        Self { config, kinds }
    }

    /// Checks an event that arrives at `now_ms`.
    ///
    /// # Errors
    /// The first rule that it breaks beyond repair.
    pub fn screen(&self, input: EventInput, now_ms: Millis) -> Result<Screened, Refused> {
        match self.parse(&input, now_ms) {
            Ok(parsed) => Ok(assemble(input, parsed)),
            Err(finding) => Err(Refused::new(finding, &input)),
        }
    }

    fn parse(&self, input: &EventInput, now_ms: Millis) -> Result<Parsed, Finding> {
        let mut repairs = Vec::new();
        let kind = self.kind(&input.kind)?;
        let id = id_or_minted(input.id.as_deref())?;
        let (user, session) = actor(input)?;
        let item = item(input, &kind)?;
        let time_ms = self.time(input.time.as_ref(), now_ms, &mut repairs)?;
        finite(input)?;
        self.quantity(input, &kind)?;
        self.price(input)?;
        self.rating(input, &kind)?;
        let dwell_seconds = self.dwell(input, &mut repairs)?;
        texts(input)?;
        attributes(&input.attributes)
            .map_err(|(rule, wrong)| Finding::field(rule, "attributes", wrong, "send less"))?;
        let decision = decision(input, &mut repairs);
        Ok(Parsed { id, kind, user, session, item, time_ms, dwell_seconds, decision, repairs })
    }

    fn kind(&self, name: &str) -> Result<Kind, Finding> {
        if name.is_empty() || name.len() > KIND_BYTES_MAX {
            let wrong = format!("has {} bytes, 1 to {KIND_BYTES_MAX} are allowed", name.len());
            return Err(Finding::field(Rule::UnknownType, "type", wrong, "use the name of a kind"));
        }
        let kind = Kind::named(name);
        match self.kinds.index(&kind) {
            Some(_) => Ok(kind),
            None => {
                let wrong = format!("{name:?} is not a known kind");
                let remedy = "use a built-in kind or give yours a weight under events.weights in the configuration";
                Err(Finding::field(Rule::UnknownType, "type", wrong, remedy))
            }
        }
    }

    fn time(&self, time: Option<&TimeInput>, now_ms: Millis, repairs: &mut Vec<Finding>) -> Result<Millis, Finding> {
        let Some(time) = time else { return Ok(now_ms) };
        let time_ms = read_time(time)?;
        let ahead_ms = time_ms.saturating_sub(now_ms);
        if ahead_ms > self.config.future_seconds_max.saturating_mul(SECOND_MS) {
            let wrong = format!(
                "is {} s in the future, at most {} s are allowed",
                ahead_ms / SECOND_MS,
                self.config.future_seconds_max
            );
            return Err(Finding::field(Rule::FutureTime, "time", wrong, "correct the clock of the sender"));
        }
        if ahead_ms > 0 {
            repairs.push(Finding::new(
                Rule::FutureTime,
                format!("time is {ahead_ms} ms in the future; it was set to now"),
            ));
            return Ok(now_ms);
        }
        self.age(time_ms, now_ms)?;
        Ok(time_ms)
    }

    fn age(&self, time_ms: Millis, now_ms: Millis) -> Result<(), Finding> {
        if time_ms < 0 {
            return Err(Finding::field(Rule::TooOld, "time", "is before 1970", "give milliseconds since 1970 UTC"));
        }
        let limit_ms = self.config.past_days_max.saturating_mul(DAY_MS);
        let age_ms = now_ms.saturating_sub(time_ms);
        if limit_ms > 0 && age_ms > limit_ms {
            let wrong =
                format!("is {} days in the past, at most {} are allowed", age_ms / DAY_MS, self.config.past_days_max);
            return Err(Finding::field(
                Rule::TooOld,
                "time",
                wrong,
                "raise cleaning.past_days_max to import old events",
            ));
        }
        Ok(())
    }

    fn quantity(&self, input: &EventInput, kind: &Kind) -> Result<(), Finding> {
        let Some(quantity) = input.quantity else { return Ok(()) };
        let refuse = |wrong: String, remedy| Err(Finding::field(Rule::RangeQuantity, "quantity", wrong, remedy));
        if quantity == 0.0 {
            return refuse("is 0".into(), "leave out events that moved nothing");
        }
        if quantity.abs() > self.config.quantity_max {
            return refuse(
                format!("is {quantity}, its size must be at most {}", self.config.quantity_max),
                "correct it or raise cleaning.quantity_max",
            );
        }
        if quantity < 0.0 && *kind != Kind::Purchase {
            return refuse(format!("is {quantity}"), "only a purchase can be returned by a negative quantity");
        }
        Ok(())
    }

    fn price(&self, input: &EventInput) -> Result<(), Finding> {
        match input.price {
            Some(price) if !(0.0..=self.config.price_max).contains(&price) => {
                let wrong = format!("is {price}, 0 to {} are allowed", self.config.price_max);
                Err(Finding::field(
                    Rule::RangePrice,
                    "price",
                    wrong,
                    "book corrections elsewhere, they are no behaviour",
                ))
            }
            _ => Ok(()),
        }
    }

    fn rating(&self, input: &EventInput, kind: &Kind) -> Result<(), Finding> {
        let (lowest, highest) = self.config.rating_range;
        match (kind, input.value) {
            (Kind::Rating, None) => {
                Err(Finding::field(Rule::RangeRating, "value", "is missing", "give the stars of the rating"))
            }
            (Kind::Rating | Kind::Review, Some(stars)) if !(lowest..=highest).contains(&stars) => {
                let wrong = format!("is {stars}, {lowest} to {highest} are allowed");
                Err(Finding::field(Rule::RangeRating, "value", wrong, "scale it or set cleaning.rating_range"))
            }
            _ => Ok(()),
        }
    }

    fn dwell(&self, input: &EventInput, repairs: &mut Vec<Finding>) -> Result<Option<f64>, Finding> {
        let Some(seconds) = input.dwell_seconds else { return Ok(None) };
        if seconds < 0.0 {
            let wrong = format!("is {seconds}");
            return Err(Finding::field(Rule::RangeDwell, "dwell_seconds", wrong, "give 0 or more seconds"));
        }
        let longest = self.config.dwell_seconds_max;
        if seconds > longest {
            repairs.push(Finding::new(Rule::RangeDwell, format!("dwell_seconds was cut from {seconds} to {longest}")));
        }
        Ok(Some(seconds.min(longest)))
    }
}

fn id_or_minted(id: Option<&str>) -> Result<ExternalId, Finding> {
    match id {
        Some(id) => name("id", id),
        None => name("id", Uuid::now_v7().hyphenated().encode_lower(&mut Uuid::encode_buffer())),
    }
}

fn name(field: &str, text: &str) -> Result<ExternalId, Finding> {
    ExternalId::parse(field, text).map_err(|problem| Finding::from_problem(Rule::Id, &problem))
}

fn actor(input: &EventInput) -> Result<(Option<ExternalId>, Option<ExternalId>), Finding> {
    let user = input.user.as_deref().map(|id| name("user", id)).transpose()?;
    let session = input.session.as_deref().map(|id| name("session", id)).transpose()?;
    if user.is_none() && session.is_none() {
        return Err(Finding::field(Rule::MissingActor, "user", "and session are missing", "name at least one of them"));
    }
    Ok((user, session))
}

fn item(input: &EventInput, kind: &Kind) -> Result<Option<ExternalId>, Finding> {
    match &input.item {
        Some(id) => name("item", id).map(Some),
        None if kind.needs_item() => {
            let wrong = format!("is missing, which {kind} needs");
            Err(Finding::field(Rule::MissingItem, "item", wrong, "name the item"))
        }
        None => Ok(None),
    }
}

fn read_time(time: &TimeInput) -> Result<Millis, Finding> {
    match time {
        TimeInput::Millis(ms) => Ok(*ms),
        TimeInput::Text(text) => text.parse::<jiff::Timestamp>().map(|time| time.as_millisecond()).map_err(|_| {
            let wrong = format!("{:?} is not RFC 3339", cut(text.clone(), 64));
            Finding::field(
                Rule::TimeFormat,
                "time",
                wrong,
                "write it like 2026-11-24T08:00:00Z, or as milliseconds since 1970",
            )
        }),
    }
}

fn finite(input: &EventInput) -> Result<(), Finding> {
    let numbers = [
        ("value", input.value),
        ("quantity", input.quantity),
        ("price", input.price),
        ("dwell_seconds", input.dwell_seconds),
    ];
    match numbers.iter().find(|(_, number)| number.is_some_and(|n| !n.is_finite())) {
        Some((field, _)) => {
            Err(Finding::field(Rule::NotFinite, field, "is not a finite number", "leave it out or correct it"))
        }
        None => Ok(()),
    }
}

fn texts(input: &EventInput) -> Result<(), Finding> {
    let texts = [
        ("query", &input.query, limits::TEXT_BYTES_MAX),
        ("text", &input.text, limits::TEXT_BYTES_MAX),
        ("surface", &input.surface, limits::ID_BYTES_MAX),
    ];
    for (field, text, bytes_max) in texts {
        let bytes = text.as_ref().map_or(0, String::len);
        if bytes > bytes_max {
            let wrong = format!("has {bytes} bytes, at most {bytes_max} are allowed");
            return Err(Finding::field(Rule::TextTooLong, field, wrong, "shorten it"));
        }
    }
    Ok(())
}

/// Checks the size of free attributes: of an event, an item or a user.
pub fn attributes(attributes: &Map<String, Value>) -> Result<(), (Rule, String)> {
    if attributes.is_empty() {
        return Ok(());
    }
    let depth_max = limits::JSON_DEPTH_MAX;
    if attributes.values().any(|value| !fits_depth(value, depth_max - 1)) {
        return Err((Rule::AttributesTooDeep, format!("are nested more than {depth_max} deep")));
    }
    let bytes = serde_json::to_vec(attributes).map_or(usize::MAX, |json| json.len());
    if bytes > limits::ATTRIBUTES_BYTES_MAX {
        return Err((
            Rule::AttributesTooLarge,
            format!("take {bytes} bytes, at most {} are allowed", limits::ATTRIBUTES_BYTES_MAX),
        ));
    }
    Ok(())
}

fn fits_depth(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(values) => depth > 0 && values.iter().all(|value| fits_depth(value, depth - 1)),
        Value::Object(values) => depth > 0 && values.values().all(|value| fits_depth(value, depth - 1)),
        _ => true,
    }
}

fn decision(input: &EventInput, repairs: &mut Vec<Finding>) -> Option<Uuid> {
    let text = input.decision.as_deref()?;
    let parsed = Uuid::try_parse(text).ok();
    if parsed.is_none() {
        let reason = format!("decision {:?} is no UUID; it was dropped", cut(text.to_owned(), 64));
        repairs.push(Finding::new(Rule::DecisionId, reason));
    }
    parsed
}

fn assemble(input: EventInput, parsed: Parsed) -> Screened {
    let details = EventDetails {
        value: input.value,
        quantity: input.quantity,
        price: input.price,
        dwell_seconds: parsed.dwell_seconds,
        query: input.query,
        text: input.text,
        surface: input.surface,
        decision: parsed.decision,
        attributes: input.attributes,
    };
    let Parsed { id, kind, user, session, item, time_ms, repairs, .. } = parsed;
    Screened { event: Event { id, kind, user, session, item, time_ms, details }, repairs }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
