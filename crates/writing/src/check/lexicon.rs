//! Words that say nothing about the world, and phrases that make a claim. Whatever is in neither list is refused, so a word belongs here
//! only if no sentence can be made false by it.

use crate::check::words::{Word, words};
use crate::evidence::{Claim, Language};

/// What a phrase does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Harmless,
    /// It is the recommended item.
    Item,
    /// It stands between a claim and what the claim is made of.
    Joins,
    /// It claims something.
    Says(Claim),
}

const ENGLISH: &str = "that|these|those|is|are|of|for|in|on|at|by|with|as|so|if|or|you|youve|we|us|our|because|since|might|may|could|would|will|can|\
     have|has|also|too|which|who|what|enjoy|suit|suits|match|matches|fit|fits|pair|pairs|go|goes|well|taste|interest|interests|choice|pick|picked|\
     suggest|suggested|recommend|recommended|think|thought|hope|from|into|before|you might like|you may like|you could like|you might also like|\
     you may also like|have a look at|take a look at|and more|be|to";

const ENGLISH_ITEM: &str = "it|its|this|they|them|their";
const ENGLISH_JOINS: &str = "a|an|and|the|both|your|yours";

const ENGLISH_CLAIMS: &[(Claim, &str)] = &[
    (Claim::Bought, "bought|purchased|ordered|own|purchase of|purchase|order of|buying"),
    (Claim::Viewed, "looked at|viewed|browsed|saw|seen|visited|viewing|looking at"),
    (Claim::Carted, "added|put|cart|basket|to your cart|in your cart"),
    (Claim::Liked, "liked|like|likes|loved|love|rated|favourite|favorite|enjoyed"),
    (Claim::Reviewed, "reviewed|wrote about|your review of"),
    (Claim::Played, "played|listened to|watched"),
    (Claim::Shared, "shared"),
    (Claim::Searched, "searched for|searched|search for|looked for|looking for|searching for"),
    (Claim::Belongs, "belongs to|belong to|category|categories"),
    (Claim::Praised, "others like its|others praise its|others liked its|praised for its"),
    (Claim::WellReviewed, "its reviews are good|it has good reviews|good reviews|well reviewed"),
    (
        Claim::Popular,
        "it is popular|popular|many people|many people choose|people choose it|many people choose it|trending|widely chosen",
    ),
    (Claim::PopularNearby, "it is popular where you are|popular where you are|popular near you"),
    (
        Claim::Alike,
        "people with a similar taste chose it|people with similar choices chose it|people like you|people with a similar taste",
    ),
    (Claim::Friends, "friends|your friends|your friends chose it|chose it"),
    (Claim::Price, "its price is about what you usually pay|price is about what you usually pay"),
    (Claim::Usual, "it is of a kind that you often choose|a kind that you often choose"),
    (Claim::Timely, "it is often chosen at this time|often chosen at this time"),
    (Claim::New, "it is new|it has just arrived|new|newly|just arrived|recent|arrived"),
];

const CHINESE: &str = "您|你|我们|那|的|也|还|而|并|所以|因为|由于|因此|可能|也许|或许|会|能|可以|适合|推荐|为您|为你|给您|给你|\
     向您|向你|希望|觉得|商品|产品|款|件|个|是|在|有|对|将|把|一下|看看|试试|选择|不妨|根据|感兴趣|兴趣|口味|搭配|合适|合|喔|哦|吧|呢|挑选|等|价格|以前";

const CHINESE_ITEM: &str = "它|它的|这|此";
const CHINESE_JOINS: &str = "和|与|及|了";

const CHINESE_CLAIMS: &[(Claim, &str)] = &[
    (Claim::Bought, "购买过|购买了|购买|买过|买了|下单"),
    (Claim::Viewed, "浏览过|浏览了|浏览|看过|看了|查看过"),
    (Claim::Carted, "加入了购物车|加入购物车|购物车"),
    (Claim::Liked, "喜欢|喜爱|收藏"),
    (Claim::Reviewed, "评论过|评价过|评论了|评价了"),
    (Claim::Played, "播放过|听过|播放了"),
    (Claim::Shared, "分享过|分享了"),
    (Claim::Searched, "搜索过|搜索了|搜索|搜过"),
    (Claim::Belongs, "属于|类别|同类"),
    (Claim::Praised, "大家喜欢它的"),
    (Claim::WellReviewed, "它的评价很好|评价很好|好评"),
    (Claim::Popular, "很多人选择它|很多人|热门|它很受欢迎|受欢迎|大家"),
    (Claim::PopularNearby, "它在您所在的地区很受欢迎|在您所在的地区很受欢迎"),
    (Claim::Alike, "口味相近的人选择了它|口味相近的人"),
    (Claim::Friends, "您的朋友选择了它|朋友|好友"),
    (Claim::Price, "它的价格与您平时的花费相近|价格与您平时的花费相近"),
    (Claim::Usual, "它是您常选的类型|您常选的类型"),
    (Claim::Timely, "这个时候常有人选择它|这个时候常有人选择"),
    (Claim::New, "新品|它是新品|新到|上新"),
];

/// The phrases of a language, the longest first.
pub(super) struct Lexicon(Vec<(Vec<Word>, Meaning)>);

impl Lexicon {
    pub(super) fn of(language: Language) -> Self {
        let (harmless, item, joins, claims) = match language {
            Language::English => (ENGLISH, ENGLISH_ITEM, ENGLISH_JOINS, ENGLISH_CLAIMS),
            Language::Chinese => (CHINESE, CHINESE_ITEM, CHINESE_JOINS, CHINESE_CLAIMS),
        };
        let plain = [(harmless, Meaning::Harmless), (item, Meaning::Item), (joins, Meaning::Joins)];
        let claims = claims.iter().map(|(claim, phrases)| (*phrases, Meaning::Says(*claim)));
        let split = |(phrases, meaning): (&'static str, Meaning)| phrases.split('|').map(move |p| (words(p), meaning));
        let mut phrases: Vec<_> = plain.into_iter().chain(claims).flat_map(split).collect();
        phrases.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
        Self(phrases)
    }

    /// The longest phrase that the text goes on with.
    pub(super) fn longest(&self, rest: &[Word]) -> Option<(usize, Meaning)> {
        self.0.iter().find(|(phrase, _)| rest.starts_with(phrase)).map(|(phrase, meaning)| (phrase.len(), *meaning))
    }
}
