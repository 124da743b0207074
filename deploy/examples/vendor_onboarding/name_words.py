"""Words that occur in many names, as data for `names`: legal forms, articles, trades, and given names by language.

All in the plain form that `names.plain_text` makes: Latin, lower case, no accents.
"""

LEGAL_FORMS = frozenset(
    "ab ag ao aps as asa bhd bv bvba cia co corp dmcc doo eood fzco fze gmbh hf inc incorporated jsc kft kg kk "
    "kommanditgesellschaft lda limited llc llp lp ltd ltda mbh nv oao ohg ood ooo oy oyj pao pjsc plc pte pty sa "
    "sal sarl sas sdn se sl slu spa spzoo srl srls sro tov ug zao".split()
)
ARTICLES = frozenset(
    "al and bin d da das de del den der di do dos du e el et for i ibn la las le les los och of og the und van "
    "von y".split()
)
# In a person's name a single letter is an initial.
PERSON_ARTICLES = frozenset(word for word in ARTICLES if len(word) > 1)
# Words that say how a company is built or where it is, and not which one it is.
STRUCTURE_WORDS = frozenset(
    "africa america asia associates branch compagnie companhia company corporation deutschland dom east "
    "enterprise enterprises espana europe france general germany global group grup gruppe holding holdings house "
    "iberia industries international italia middle nederland nordic norge norway overseas partners polska "
    "portugal services societe ste sverige torgovyi trade trading uk ventures world worldwide".split()
)
# Words that say what a company does; many do the same.
TRADE_WORDS = frozenset(
    "armement bank capital chemicals commodities construction consulting energy engineering exchange export "
    "finance frachtkontor freight gulf import insurance logistic logistics marine maritima maritime meridian "
    "metal metallhandel metals mining oil petroleum shipping software steel systems technologies transport".split()
)
STRUCTURE_WEIGHT = 0.2
TRADE_WEIGHT = 0.5

# Given names that are one name in other languages or spellings; the first of each line stands for all.
GIVEN_NAMES = {
    word: line.split()[0]
    for line in (
        "abdul abd abdel abdoul",
        "ahmed ahmad achmed achmet",
        "alexander aleksander aleksandr aleksandar alexandr alexandre alejandro alessandro oleksander oleksandr",
        "andrew anders andre andreas andrei andrej andrey andrii andriy andrzej",
        "catherine ekaterina jekaterina katarina katarzyna kateryna katherine yekaterina",
        "demetrios dimitri dimitrij dimitrios dimitris dimitriy dimitry dmitri dmitrii dmitrij dmitriy dmitry dmytro",
        "eugene evgeni evgeniy evgeny jewgeni jewgenij yevgeni yevgeniy yevgeny yevhen",
        "eugenia evgenia evgeniia evgenija evgeniya jewgenija yevgenia yevgeniia yevgeniya yevheniia",
        "george georges georgi georgios georgiy georgy giorgos jorgos yeorgios yiorgos",
        "hussein hossein hussain husain husayn",
        "john giannis ioannis ivan jan johann johannes yannis",
        "joseph iosif josef jussuf yosef yousef youssef yousif yousuf yusef yusif yussef yussuf yusuf",
        "khalid chalid halid khaled khalide",
        "maria ma mariia mariya marija",
        "michael michail michel mihail mikhail mykhailo",
        "muhammad mahomed mehmed mohamad mohamed mohammad mohammed muhamed muhammed muhamad",
        "nicholas nicolas nikola nikolai nikolaj nikolaos nikolaus nikolay mykola",
        "paul pavel pavlo pawel",
        "peter pedro petar petr petro petros piotr pjotr pyotr",
        "sergey serge sergei sergej serhii serhiy",
        "soren soeren",
    )
    for word in line.split()
}
