//! MovieLens 100K and 1M: ratings with times, films with genres, users with demographics.
//!
//! Old files are latin-1, newer ones of the same layout UTF-8; each line is read as what it is. Ratings come in the order of time, ties in
//! the order of the file, so they are held in memory. Zip codes are left out: nobody needs them to recommend a film.

use std::path::Path;

use serde_json::Value;
use zhiyin_core::{EventInput, Item, TimeInput, User, clock::Millis};

use crate::{
    DatasetError, LineProblem, Source,
    error::rules,
    input::{ByteCount, Lines, latin1_or_utf8},
    intern::Names,
    items::{external_id, labels},
    reader::{Opened, Record, Step, locate, with_item_table},
    table::clipped,
    time::parse_time,
};

/// How one of the two data sets is laid out.
pub(crate) struct Layout {
    name: &'static str,
    ratings: &'static [&'static str],
    items: &'static str,
    users: &'static str,
    item: fn(&[&str]) -> Result<Item, Broken>,
    user: fn(&[&str]) -> Result<User, Broken>,
}

/// A rule and what was found.
type Broken = (&'static str, String);

/// MovieLens 100K: `|` between the fields of films and users.
pub(crate) const ML_100K: Layout = Layout {
    name: "movielens-100k",
    ratings: &["u.data"],
    items: "u.item",
    users: "u.user",
    item: item_100k,
    user: user_100k,
};

/// MovieLens 1M: `::` between all fields.
pub(crate) const ML_1M: Layout = Layout {
    name: "movielens-1m",
    ratings: &["ratings.dat", "ml-1m.merged.tsv.gz", "ml-1m.merged.tsv", "ratings.dat.gz"],
    items: "movies.dat",
    users: "users.dat",
    item: item_1m,
    user: user_1m,
};

pub(crate) fn open(source: &Source, layout: &Layout) -> Result<Opened, DatasetError> {
    let mut bytes = ByteCount::default();
    let path = locate(&source.path, layout.ratings)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut facts = Vec::new();
    if source.items_path.is_none() {
        read_facts(&folder.join(layout.items), &mut bytes, &mut facts, |fields| {
            (layout.item)(fields).map(Record::Item)
        })?;
    }
    read_facts(&folder.join(layout.users), &mut bytes, &mut facts, |fields| (layout.user)(fields).map(Record::User))?;
    let mut ratings = Ratings::new(layout.name);
    ratings.read(Lines::open(&path, &mut bytes)?)?;
    let problems = std::mem::take(&mut ratings.problems);
    let loaded = facts.len() + problems.len() + ratings.rows.len();
    let steps = facts.into_iter().chain(problems.into_iter().map(Step::from)).chain(ratings.into_events());
    let steps = with_item_table(source, &mut bytes, Box::new(steps))?;
    Ok(Opened { steps, bytes, loaded: Some(loaded as u64) })
}

/// Reads the lines of a file of films or users, if the file is there.
fn read_facts(
    path: &Path,
    bytes: &mut ByteCount,
    steps: &mut Vec<Step>,
    parse: impl Fn(&[&str]) -> Result<Record, Broken>,
) -> Result<(), DatasetError> {
    if !path.is_file() {
        return Ok(());
    }
    let mut lines = Lines::open(path, bytes)?;
    while next_line(&mut lines, |problem| steps.push(problem.into()))? {
        let text = latin1_or_utf8(lines.bytes());
        let fields: Vec<&str> =
            if text.contains("::") { text.split("::").collect() } else { text.split('|').collect() };
        let record = parse(&fields).map_err(|(rule, detail)| lines.problem(rule, detail));
        steps.push(record.into());
    }
    Ok(())
}

/// Goes to the next line that isn't blank; false at the end.
fn next_line(lines: &mut Lines, mut report: impl FnMut(LineProblem)) -> Result<bool, DatasetError> {
    loop {
        match lines.advance() {
            Ok(true) if lines.bytes().trim_ascii().is_empty() => {}
            Ok(more) => return Ok(more),
            Err(problem) if problem.rule == rules::UNREADABLE => return Err(problem.into()),
            Err(problem) => report(problem),
        }
    }
}

/// One rating.
#[derive(Clone, Copy)]
struct Rating {
    time_ms: Millis,
    value: f64,
    user: u32,
    item: u32,
}

struct Ratings {
    data_set: &'static str,
    users: Names,
    items: Names,
    rows: Vec<Rating>,
    problems: Vec<LineProblem>,
}

impl Ratings {
    fn new(data_set: &'static str) -> Self {
        Self { data_set, users: Names::default(), items: Names::default(), rows: Vec::new(), problems: Vec::new() }
    }

    fn read(&mut self, mut lines: Lines) -> Result<(), DatasetError> {
        let mut problems = Vec::new();
        while next_line(&mut lines, |problem| problems.push(problem))? {
            let text = latin1_or_utf8(lines.bytes());
            let fields: Vec<&str> =
                if text.contains("::") { text.split("::").collect() } else { text.split('\t').collect() };
            let is_header = lines.line() == 1 && fields[0].to_ascii_lowercase().starts_with("user");
            if is_header {
                continue;
            }
            match self.rating(&fields) {
                Ok(rating) => self.rows.push(rating),
                Err((rule, detail)) => problems.push(lines.problem(rule, detail)),
            }
        }
        self.problems = problems;
        self.rows.sort_by_key(|rating| rating.time_ms);
        Ok(())
    }

    fn rating(&mut self, fields: &[&str]) -> Result<Rating, Broken> {
        let &[user, item, value, ref rest @ ..] = fields else {
            return Err((
                rules::COLUMN_COUNT,
                format!("has {} columns: user, item, rating, time are needed", fields.len()),
            ));
        };
        let time = rest.first().map_or("", |time| time.trim());
        if time.is_empty() {
            return Err((
                rules::NO_TIME,
                format!("the rating of item {} by user {} has no time", clipped(item), clipped(user)),
            ));
        }
        if user.trim().is_empty() || item.trim().is_empty() {
            return Err((rules::BAD_ID, "the user or the item is empty".to_owned()));
        }
        let value = value.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        Ok(Rating {
            time_ms: parse_time(time).ok_or_else(|| (rules::BAD_TIME, format!("the time is `{}`", clipped(time))))?,
            value: value.ok_or_else(|| (rules::NOT_A_NUMBER, format!("the rating is `{}`", clipped(fields[2]))))?,
            user: self.users.number(user.trim()),
            item: self.items.number(item.trim()),
        })
    }

    fn into_events(mut self) -> impl Iterator<Item = Step> + Send {
        std::mem::take(&mut self.rows).into_iter().map(move |rating| Record::Event(self.event(&rating)).into())
    }

    /// The identifier has no line in it: a split such as `ua.base` holds the same ratings as the whole.
    fn event(&self, rating: &Rating) -> EventInput {
        let (user, item) = (self.users.name(rating.user), self.items.name(rating.item));
        EventInput {
            id: Some(format!("{}-{user}-{item}-{}", self.data_set, rating.time_ms / 1000)),
            kind: "rating".to_owned(),
            user: Some(user.to_owned()),
            item: Some(item.to_owned()),
            time: Some(TimeInput::Millis(rating.time_ms)),
            value: Some(rating.value),
            ..EventInput::default()
        }
    }
}

/// Genres of MovieLens 100K, in the order of the flags at the end of a line of `u.item`.
const GENRES_100K: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

fn item_100k(fields: &[&str]) -> Result<Item, Broken> {
    let &[id, title, _released, _video, _address, ref flags @ ..] = fields else {
        return Err((rules::COLUMN_COUNT, format!("has {} columns, 24 are needed", fields.len())));
    };
    if flags.len() != GENRES_100K.len() {
        return Err((rules::COLUMN_COUNT, format!("has {} columns, 24 are needed", fields.len())));
    }
    let genres = GENRES_100K.iter().zip(flags).skip(1).filter(|(_, flag)| flag.trim() == "1");
    film(id, title, genres.map(|(genre, _)| (*genre).to_owned()).collect())
}

fn item_1m(fields: &[&str]) -> Result<Item, Broken> {
    match *fields {
        [id, title, genres] => film(id, title, labels(genres)),
        _ => Err((rules::COLUMN_COUNT, format!("has {} columns, 3 are needed", fields.len()))),
    }
}

fn film(id: &str, title: &str, genres: Vec<String>) -> Result<Item, Broken> {
    let mut item = Item::bare(external_id("item", id.trim()).map_err(|detail| (rules::BAD_ID, detail))?);
    title.trim().clone_into(&mut item.title);
    item.categories = genres;
    if let Some(year) = year_of(title) {
        item.attributes.insert("year".to_owned(), Value::from(year));
    }
    Ok(item)
}

/// The year in brackets at the end of a title such as `Toy Story (1995)`.
fn year_of(title: &str) -> Option<u16> {
    let (_, year) = title.trim().strip_suffix(')')?.rsplit_once('(')?;
    year.parse().ok().filter(|year| (1880..=2100).contains(year))
}

fn user_100k(fields: &[&str]) -> Result<User, Broken> {
    let &[id, age, gender, occupation, _zip] = fields else {
        return Err((rules::COLUMN_COUNT, format!("has {} columns, 5 are needed", fields.len())));
    };
    let mut user = User::bare(external_id("user", id.trim()).map_err(|detail| (rules::BAD_ID, detail))?);
    let years: u16 = age.parse().map_err(|_| (rules::NOT_A_NUMBER, format!("the age is `{}`", clipped(age))))?;
    user.attributes.insert("age".to_owned(), Value::from(years));
    user.attributes.insert("gender".to_owned(), Value::from(gender));
    user.attributes.insert("occupation".to_owned(), Value::from(occupation));
    Ok(user)
}

/// Age bands of MovieLens 1M: the code in the file and what it stands for.
const AGE_BANDS_1M: [(&str, &str); 7] = [
    ("1", "under 18"),
    ("18", "18-24"),
    ("25", "25-34"),
    ("35", "35-44"),
    ("45", "45-49"),
    ("50", "50-55"),
    ("56", "56 and over"),
];

/// Occupations of MovieLens 1M, by code.
const OCCUPATIONS_1M: [&str; 21] = [
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
];

fn user_1m(fields: &[&str]) -> Result<User, Broken> {
    let &[id, ref rest @ ..] = fields else {
        return Err((rules::COLUMN_COUNT, "is empty".to_owned()));
    };
    let mut user = User::bare(external_id("user", id.trim()).map_err(|detail| (rules::BAD_ID, detail))?);
    let &[gender, age, occupation, _zip] = rest else {
        return Err((rules::COLUMN_COUNT, format!("has {} columns, 5 are needed", fields.len())));
    };
    let band = AGE_BANDS_1M.iter().find(|(code, _)| *code == age).map(|(_, band)| *band);
    let occupation_name = occupation.parse::<usize>().ok().and_then(|code| OCCUPATIONS_1M.get(code));
    user.attributes.insert("gender".to_owned(), Value::from(gender));
    user.attributes.insert("age_band".to_owned(), Value::from(band.unwrap_or(age)));
    user.attributes.insert("occupation".to_owned(), Value::from(*occupation_name.unwrap_or(&occupation)));
    Ok(user)
}
