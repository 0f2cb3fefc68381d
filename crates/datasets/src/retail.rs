//! UCI Online Retail: invoice lines of a gift shop.
//!
//! A line is a purchase of its customer. A line without customer belongs to the anonymous session of its invoice: a basket is a session.
//! A cancellation (an invoice number that starts with C) is a purchase of a negative quantity. Titles, prices and categories of the
//! articles are derived from all lines (see [`crate::retail_items`]), so the file is held in memory. Times of the file are taken as UTC.

use rustc_hash::FxHashSet;
use serde_json::Value;
use zhiyin_core::{EventInput, Item, TimeInput, User, clock::Millis};

use crate::{
    DatasetError, LineProblem, RetailLines, Source,
    error::rules,
    input::{ByteCount, Lines},
    intern::Names,
    items::external_id,
    reader::{Opened, Record, Step, locate, with_item_table},
    retail_items::{Article, is_product},
    table::{Table, clipped},
    time::parse_time,
};

const FILES: &[&str] = &["online_retail.csv.xz", "online_retail.csv.gz", "online_retail.csv"];

pub(crate) fn open(source: &Source, kept: RetailLines) -> Result<Opened, DatasetError> {
    let mut bytes = ByteCount::default();
    let table = Table::open(Lines::open(&locate(&source.path, FILES)?, &mut bytes)?)?;
    let columns = Columns::of(&table)?;
    let mut invoices = Invoices { id_prefix: format!("or-{}", table.lines().fingerprint()), ..Invoices::default() };
    invoices.read(table, &columns, kept)?;
    let (steps, loaded) = invoices.into_steps();
    let steps = with_item_table(source, &mut bytes, Box::new(steps))?;
    Ok(Opened { steps, bytes, loaded: Some(loaded) })
}

/// Places of the columns, under the names of either edition of the data set.
struct Columns {
    invoice: usize,
    code: usize,
    description: usize,
    quantity: usize,
    time: usize,
    price: usize,
    customer: usize,
    country: usize,
}

impl Columns {
    fn of(table: &Table) -> Result<Self, DatasetError> {
        Ok(Self {
            invoice: table.needed_column(&["InvoiceNo", "Invoice"])?,
            code: table.needed_column(&["StockCode"])?,
            description: table.needed_column(&["Description"])?,
            quantity: table.needed_column(&["Quantity"])?,
            time: table.needed_column(&["InvoiceDate"])?,
            price: table.needed_column(&["UnitPrice", "Price"])?,
            customer: table.needed_column(&["CustomerID", "Customer ID"])?,
            country: table.needed_column(&["Country"])?,
        })
    }
}

/// A line as it stands in the file.
struct Line<'a> {
    invoice: &'a str,
    code: &'a str,
    description: &'a str,
    customer: &'a str,
    country: &'a str,
    quantity: f64,
    price: f64,
    time_ms: Millis,
}

impl<'a> Line<'a> {
    fn of(table: &'a Table, columns: &Columns) -> Result<Self, LineProblem> {
        let number = |column: usize| {
            let missing = || table.problem(rules::NOT_A_NUMBER, format!("{} is empty", table.header()[column]));
            table.number(column)?.ok_or_else(missing)
        };
        let time = table.field(columns.time);
        let customer = table.field(columns.customer);
        let line = Self {
            invoice: table.field(columns.invoice),
            code: table.field(columns.code),
            description: table.field(columns.description),
            customer: customer.strip_suffix(".0").unwrap_or(customer),
            country: table.field(columns.country),
            quantity: number(columns.quantity)?,
            price: number(columns.price)?,
            time_ms: parse_time(time)
                .ok_or_else(|| table.problem(rules::BAD_TIME, format!("InvoiceDate is `{}`", clipped(time))))?,
        };
        external_id("StockCode", line.code).map_err(|detail| table.problem(rules::BAD_ID, detail))?;
        if line.invoice.is_empty() {
            return Err(table.problem(rules::BAD_ID, "InvoiceNo is empty"));
        }
        Ok(line)
    }

    fn is_cancellation(&self) -> bool {
        self.invoice.starts_with(['C', 'c'])
    }

    /// The rule that keeps the line out, if any, and what was found.
    fn broken_rule(&self, kept: RetailLines) -> Option<(&'static str, String)> {
        match kept {
            RetailLines::Cleaned => self.rule_of_a_shop(),
            RetailLines::PositiveCustomer => self.rule_of_published_figures(),
        }
    }

    fn rule_of_a_shop(&self) -> Option<(&'static str, String)> {
        if !is_product(self.code) {
            return Some(self.not_a_product());
        }
        if self.quantity == 0.0 || (self.quantity < 0.0 && !self.is_cancellation()) {
            return Some(self.stock_adjustment());
        }
        (self.price <= 0.0).then(|| self.no_price())
    }

    fn rule_of_published_figures(&self) -> Option<(&'static str, String)> {
        if self.customer.is_empty() {
            return Some((rules::NO_CUSTOMER, format!("invoice {} has no customer", clipped(self.invoice))));
        }
        if self.is_cancellation() {
            return Some((rules::RETURN, format!("invoice {} is a cancellation", clipped(self.invoice))));
        }
        if self.quantity <= 0.0 {
            return Some(self.stock_adjustment());
        }
        if self.price <= 0.0 {
            return Some(self.no_price());
        }
        (!self.code.starts_with(|c: char| c.is_ascii_digit())).then(|| self.not_a_product())
    }

    fn not_a_product(&self) -> (&'static str, String) {
        (rules::NOT_A_PRODUCT, format!("stock code {} ({}) is no article", self.code, clipped(self.description)))
    }

    fn stock_adjustment(&self) -> (&'static str, String) {
        (
            rules::STOCK_ADJUSTMENT,
            format!("{} pieces without a cancellation ({})", self.quantity, clipped(self.description)),
        )
    }

    fn no_price(&self) -> (&'static str, String) {
        (rules::NO_PRICE, format!("the price is {}", self.price))
    }
}

/// A line that counts, with numbers for its names.
#[derive(Clone, Copy)]
struct Sale {
    line: u64,
    time_ms: Millis,
    quantity: f64,
    price: f64,
    invoice: u32,
    code: u32,
    title: u32,
    customer: Option<u32>,
    country: u32,
    is_repaired: bool,
}

/// What makes two lines of one invoice the same line.
type Identity = (u32, u32, u64, u64, Millis);

impl Sale {
    fn identity(&self) -> Identity {
        (self.invoice, self.code, self.quantity.to_bits(), self.price.to_bits(), self.time_ms)
    }
}

/// The file in memory.
#[derive(Default)]
struct Invoices {
    id_prefix: String,
    invoices: Names,
    codes: Names,
    titles: Names,
    customers: Names,
    countries: Names,
    sales: Vec<Sale>,
    problems: Vec<LineProblem>,
}

impl Invoices {
    fn read(&mut self, mut table: Table, columns: &Columns, kept: RetailLines) -> Result<(), DatasetError> {
        let mut seen: FxHashSet<Identity> = FxHashSet::default();
        loop {
            match table.advance() {
                Ok(true) => {}
                Ok(false) => break,
                Err(problem) if problem.rule == rules::UNREADABLE => return Err(problem.into()),
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            }
            match self.sale(&table, columns, kept) {
                Ok(sale) if kept == RetailLines::Cleaned && !seen.insert(sale.identity()) => {
                    let invoice = self.invoices.name(sale.invoice);
                    let detail = format!("{} stands in invoice {invoice} already", self.codes.name(sale.code));
                    self.problems.push(table.problem(rules::DUPLICATE_LINE, detail));
                }
                Ok(sale) => self.sales.push(sale),
                Err(problem) => self.problems.push(problem),
            }
        }
        self.sales.sort_by_key(|sale| sale.time_ms);
        Ok(())
    }

    fn sale(&mut self, table: &Table, columns: &Columns, kept: RetailLines) -> Result<Sale, LineProblem> {
        let line = Line::of(table, columns)?;
        if let Some((rule, detail)) = line.broken_rule(kept) {
            return Err(table.problem(rule, detail));
        }
        let is_repaired = kept == RetailLines::Cleaned && line.code.contains(|c: char| c.is_ascii_lowercase());
        let code = if is_repaired { &line.code.to_ascii_uppercase() } else { line.code };
        Ok(Sale {
            line: table.line(),
            time_ms: line.time_ms,
            quantity: line.quantity,
            price: line.price,
            invoice: self.invoices.number(line.invoice),
            code: self.codes.number(code),
            title: self.titles.number(line.description),
            customer: (!line.customer.is_empty()).then(|| self.customers.number(line.customer)),
            country: self.countries.number(line.country),
            is_repaired,
        })
    }

    /// Items, users, problems and then events, and how many these are. Events are made one by one: as strings they would take ten times
    /// the memory.
    fn into_steps(mut self) -> (impl Iterator<Item = Step> + Send, u64) {
        let items = self.items();
        let users = self.users();
        let problems = std::mem::take(&mut self.problems);
        let sales = std::mem::take(&mut self.sales);
        let loaded = items.len() + users.len() + problems.len() + sales.len();
        let events = sales.into_iter().map(move |sale| Step {
            outcome: Ok(Record::Event(self.event(&sale))),
            repair: sale.is_repaired.then_some(rules::STOCK_CODE_CASE),
        });
        let facts = items.into_iter().map(Record::Item).chain(users.into_iter().map(Record::User));
        (facts.map(Step::from).chain(problems.into_iter().map(Step::from)).chain(events), loaded as u64)
    }

    fn items(&self) -> Vec<Item> {
        let mut articles: Vec<Article> = (0..self.codes.len()).map(|_| Article::default()).collect();
        let (sold, returned): (Vec<&Sale>, Vec<&Sale>) = self.sales.iter().partition(|sale| sale.quantity > 0.0);
        sold.into_iter().for_each(|sale| articles[sale.code as usize].add_sold(sale.title, sale.price));
        returned.into_iter().for_each(|sale| articles[sale.code as usize].add_returned(sale.title, sale.price));
        let describe = |(article, code): (Article, u32)| article.item(self.codes.name(code), &self.titles);
        articles.into_iter().zip(0..).filter_map(describe).collect()
    }

    /// Customers with the country of their last invoice.
    fn users(&self) -> Vec<User> {
        let mut countries = vec![0; self.customers.len()];
        for sale in &self.sales {
            if let Some(customer) = sale.customer {
                countries[customer as usize] = sale.country;
            }
        }
        let describe = |(country, customer): (u32, u32)| {
            let mut user = User::bare(external_id("CustomerID", self.customers.name(customer)).ok()?);
            user.attributes.insert("country".to_owned(), Value::from(self.countries.name(country)));
            Some(user)
        };
        countries.into_iter().zip(0..).filter_map(describe).collect()
    }

    fn event(&self, sale: &Sale) -> EventInput {
        let invoice = self.invoices.name(sale.invoice);
        let mut event = EventInput {
            id: Some(format!("{}-{}", self.id_prefix, sale.line)),
            kind: "purchase".to_owned(),
            item: Some(self.codes.name(sale.code).to_owned()),
            time: Some(TimeInput::Millis(sale.time_ms)),
            quantity: Some(sale.quantity),
            price: Some(sale.price),
            ..EventInput::default()
        };
        match sale.customer {
            Some(customer) => event.user = Some(self.customers.name(customer).to_owned()),
            None => event.session = Some(format!("invoice-{invoice}")),
        }
        event.attributes.insert("invoice".to_owned(), Value::from(invoice));
        event.attributes.insert("country".to_owned(), Value::from(self.countries.name(sale.country)));
        event
    }
}
