"""How often words follow each other in English talk: the few hundred commonest, by hand.

The idea: most of a chat turn is a few hundred words in a few thousand habits ("don't", "a lot of", "looking
forward to"). Written down as plain lists they save about a fifth of a sketch's bytes, and they can be read,
which a trained table cannot. They are rough estimates of common English, made from no text: a word that
stands in no list only costs more. Rejected: tables counted from a corpus, which bring its licence and 100 KB
into the package.

Changing anything here changes the meaning of every sketch: the version in `sketch.py` must change with it.
"""

from __future__ import annotations

__all__ = ["COMMON", "FOLLOWING"]

COMMON = """\
400 . , '
280 i you the to a and it that ! ?
180 s t of in : is
100 m we have my for so with was your be on this me re - not do are what but like just can know
50 ve ll d at they all he she how about it up if there one out get really good no great when think go would
    love thanks time as her his them an too from some more " did been going see had by now
25 him our yeah hey wow oh thing things who want much lot make well got here will because or work then day
    let could way back very even has any right something said were feel need yes new people always sure hope
    nice keep life ever over most other also than only us look their into today sounds awesome amazing
    definitely fun cool last week help ) ( [ ] hi after first try take come friends family
"""
"""A line for each class of words: how often one of 10,000 pieces is one of them, and the words."""

FOLLOWING = """\
i' 250 m ve d ll
you' 250 re ve ll d
we' 250 re ve ll d
they' 250 re ve ll d
it' 250 s ll d
that' 250 s ll d
there' 250 s ll d
what' 250 s re d
let' 254 s
he' 250 s ll d
she' 250 s ll d
don' 254 t
didn' 254 t
doesn' 254 t
can' 254 t
couldn' 254 t
wouldn' 254 t
won' 250 t
isn' 254 t
wasn' 254 t
haven' 254 t
' 230 s t re ve ll m d
don 245 '
didn 254 '
doesn 254 '
couldn 254 '
wouldn 254 '
isn 254 '
wasn 254 '
haven 245 '
won 90 ' the a
s 130 a so the great been awesome not amazing really all it to just my good what important like going nice ,
    .
t 110 wait have know be believe want it think get had even really the help like to see need do been
m 140 so glad really sure not happy excited just going here looking gonna sorry proud a still always doing
    in thinking
re 120 doing so not going welcome right really having all a always still the in super both looking
ve 150 been always got had never learned also just seen made a gotten really heard done ever
ll 130 be have definitely see keep never let do get make check always take give
d 150 love like be have been to recommend never say
^ 40 hey user assistant thanks wow i
^: 150 hey wow thanks yeah i that hi it oh absolutely yes thank you sure no my the definitely so great nice
    what cool here how sounds hello awesome [ glad
. 150 i it the we my that you they this and so but he she there what ' just have do let how any [ " in one
    if then here when
! 150 i it that you how what the we have my they do your so any [ this thanks and can did looking let she he
    keep where sounds there take
? 150 [ i any how what it that do have did you we can are is maybe let
, 150 and i but so it you the that we my too which they like just especially this or what even do there
    right with a to not
: 40 the a i [ " it
- 60 it up i the a and being to of that free term care
" 90 . , and the i is ! by ? to
[ 240 image
image 200 : of
image: 245 a an the two person people three
] 20 . , i [
i 170 ' was have love think had can just really am know like feel got also want hope do need went see never
    could started will would always made did still found been used saw took get thought guess agree
you 160 ' have are can do ? were know . to ! and for really like , been did had got want could will think
    guys ever should need so get feel it out with in
we 170 ' can had have all were are went should do got need could also love will did just
they 150 ' are have were all can really had just do also make love always bring give help
it 170 ' was is ! . , really to for up so has feels out and makes all can felt must with looks sounds a ? be
    made helps in would means takes like the
he 100 ' was is loves has had really said can always would
she 100 ' was is loves has had really said can always would
that 140 ' is was sounds i you . ! , must the it we they will makes can would really ? has for helps many a
    day
this 90 is was one weekend year week . ! , morning picture place way time photo summer month book
there 110 ' is are was . ! for , were with and to
what 120 ' a do are is kind you about did made was have i got the else inspired
how 140 ' are do did about was is long you to it have much they i many things great the often
who 80 ' are is have was can i you they
let 140 ' me us it you go
am 60 i so not a really glad happy
are 110 you so the they really always a my we all just some doing great these important your still such
is 110 so a the really that it my such great always to important key all what this your , . in for an just
    not there
was 110 a so really the great an just in such awesome amazing it tough my able for fun like when to at
    thinking super hard there
were 80 so a the really you all in there some my just great playing
have 110 a you to been the any such it fun had so your some my that an ! in time . these more made
has 110 been a it really the always helped made to so such my
had 110 a to the some so an fun been my such great it this any
been 110 a so to thinking really working doing up , through great there tough the able trying in . wanting
be 110 a so able there here the in great awesome tough proud really amazing fun hard an ! . more like , my
    with better
do 120 you it that . ? , ! what to the i for something with this my
did 140 you it that the a not they i ! .
can 130 ' be i you really do make see help t get have also definitely we always imagine tell learn relate
    the
could 100 be have do really never help use you i see get
would 110 be love you have like i it make
will 110 be have definitely make help do always keep you it take
should 110 be have do check go try definitely
to 110 the see be do get make hear have my it a help you keep go know share take try find that learn relax
    work say me spend stay them your meet check think start create those support remember use each explore
    show give
going 130 to on for through with . ! , ? well in back
want 170 to it the me you
wanted 170 to
need 110 to a any it the some help more
love 90 to it the that how for . ! and this with hearing seeing your , you my
like 90 a that it the you to , i this . them an we my these ! she ? being
know 100 how . , if what that it you the more ! about i ? ' they of when
think 110 it i of about that the you ? we , they so
feel 110 like so the more free better a really that at alive good when it
get 90 to a the it through back some my into more that out better there away in your
got 100 a to some the it my back this me any into
go 90 to for on ! . with back through there out , and of
went 150 to on with for through well there hiking camping down by
make 90 a it sure the them me you some my people new time
makes 130 me it a you the sense them all
made 90 a me it the some my this by them you that for with so
see 110 the you how that a it them what my your ! . , if all her
take 100 a care it the some time on my part breaks
took 120 a the my some this it me part them up
look 110 forward at so like for great really ! , into amazing
looks 120 like so great amazing awesome really good delicious , fun
looking 130 forward for at to into good ,
forward 240 to .
sounds 150 like great awesome amazing fun good so really delicious
keep 110 up it me going the them on you that pushing in my
hope 140 you to it we that they i your
glad 160 you to i it that we they
thanks 140 for ! , . so a
thank 240 you s
hear 140 about that it you more from your how what the
sure 110 you to it i . ! , they we that the is
help 100 me you with people the others . ! them to out us
try 120 to it out . new ! something that
trying 180 to out new
able 240 to
started 130 a with to doing on working in making going
used 190 to for it
reminds 230 me us
excited 150 to for about ! that
proud 160 of to ! that
the 60 best way world same kids picture first other time whole beach great future last most beauty support
    end city little good people perfect new next
a 80 lot great new good little big bit photo few while really nice picture fun huge cool long book tough
    special lovely beautiful day wonderful person group sense break woman man table couple dog bunch way
an 80 amazing awesome interesting important incredible idea old art image event
of 90 a the my it that you your our this people me them those fun us things these him what all her two
in 100 the my a this your our nature touch it that front me with mind and an these their
on 90 the my a your it that track this with top in how what me our and i
for 80 the a me my you it your that sure us our them some this so an all people her everyone
with 90 my a the your you it them me our some that family friends her his this him others all and such
    people
at 110 the a my least it home that this work all first your night ease
from 90 the my a your it that her our them me this
about 90 it the your my that you a them ? . this how to our what !
and 80 i the it a my have make we you that feel just how they more support then see all fun had me so get
    friends family keep love enjoy even your
but 110 i it the we you that they also sometimes still my not what he in
so 100 much i happy cool cute many good great it far glad proud important excited we fun . ! amazing you ,
    that inspiring nice hard they special the beautiful peaceful sweet
if 150 you i it they we there that the
when 120 i you we it the they my things he she life
because 90 it i they of you we the
as 90 a well i an the it much you we
my 50 family kids own friends life friend job mom work favorite dog car passion new house heart mind first
    love best
your 50 family kids own friends life friend support day work favorite new story passion help dog dreams art
    kind
our 50 own family kids friends life last lives
me 90 . ! , to a and feel of so happy know with in too the for that through want think more when on how
them 100 . ! , to and in all a ? with up out so too for
not 90 to only sure just a the be easy too in have always give
no 110 problem worries matter one doubt way , . ! need
all 90 the about of that your my those i you these . ! ? in for have , kinds this it
some 60 of great good new time awesome cool fun tips amazing more really
one 90 of . ! day , is that with ? more i for
out 90 of and . ! for there , with in the to on my some
up 80 the with for to and . ! , in a on my your ? at
more 70 about . and than of ! , time to ?
really 70 cool good great helped nice helps appreciate enjoy love makes important excited into happy awesome
    fun it proud hard want did
just 80 a got the wanted to had started like have been keep in me as took went it
great 70 ! . to time way , day for idea that job how and ?
good 70 ! . to for , time luck idea and day way
much 90 ! . fun for to , better more i ? joy it love
lot 190 of . to ! about for , like
bit 110 of . ! , about more
kind 130 of ! words
way 90 to . ! i of , for you it that
time 90 . to with ! for , and ? i in at together
last 150 week year night weekend month time summer friday few
next 110 month week year time step weekend ?
each 150 other one of
ever 60 since been had . ! seen tried thought
too 130 . ! , ? much i
photo 220 of
picture 130 of ! . from , ?
photography 130 of . ! ,
course 90 ! , .
since 70 i we the then you it
working 110 on with at in hard out
part 150 of in . ,
sense 140 of . !
front 220 of
top 130 of . !
outside 20 of .
new 40 york job things skills people and one hobby car ideas
here 130 ' is for . ! to , are and
while 60 i , you ! . since back it we the
always 60 a been there here be wanted have loved so has love
definitely 60 be a check try worth ! need have
any 60 other advice tips plans of more fun ideas new good
something 60 new that i you like special to . !
cool 90 ! . to , that ? and
awesome 90 ! . to , that ? and job
amazing 90 ! . to , that how and ? you
fun 80 ! . and to , with ? it for
nice 70 to ! . , job and one that
wow 190 , ! that
hey 170 , ! there
yeah 190 , ! it i
yes 170 , ! i it
oh 130 , no wow my !
people 70 who . ! and , in to are
day 90 . ! and , at of with to i
things 80 . that ! are like , you and i
own 60 . business ! , way
than 60 ever i just a the
then 60 i we , ? ! .
seeing 90 the them your how my you
"""
"""A line for each habit: what stands before, how often of 256 the next piece is one of the list, and the
list, likeliest first. Before an apostrophe or a colon the two pieces before count; ^ is the beginning of a
text. Indented lines go on."""
